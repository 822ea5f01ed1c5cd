from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("presets", "0001_initial")]

    operations = [
        migrations.AddField("preset", "schema", models.PositiveSmallIntegerField(default=1)),
        migrations.AddField("preset", "source", models.CharField(blank=True, max_length=300)),
        migrations.AddField("preset", "is_shipped", models.BooleanField(default=False)),
    ]
