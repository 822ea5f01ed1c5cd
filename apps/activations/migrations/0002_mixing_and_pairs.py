import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("activations", "0001_initial"), ("datasets", "0002_look_ups_and_quantization")]

    operations = [
        migrations.AddField("activationcache", "is_paired", models.BooleanField(default=False)),
        migrations.CreateModel(
            "CacheText",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "activation_cache",
                    models.ForeignKey(
                        "activations.ActivationCache",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="texts",
                    ),
                ),
                (
                    "tokenization",
                    models.ForeignKey(
                        "datasets.Tokenization", on_delete=django.db.models.deletion.PROTECT, related_name="cache_texts"
                    ),
                ),
            ],
            options={"ordering": ["id"]},
        ),
    ]
