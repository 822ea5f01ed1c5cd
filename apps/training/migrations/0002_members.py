import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Members and texts of a run, to be filled by the next migration."""

    dependencies = [
        ("activations", "0002_mixing_and_pairs"),
        ("training", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            "trainingrun",
            "activation_cache",
            models.ForeignKey(
                "activations.ActivationCache",
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="training_runs",
            ),
        ),
        migrations.AddField(
            "trainingrun",
            "language_model",
            models.ForeignKey(
                "language_models.LanguageModel",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="training_runs",
            ),
        ),
        migrations.AddField(
            "trainingrun",
            "tokenization",
            models.ForeignKey(
                "datasets.Tokenization",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="training_runs",
            ),
        ),
        migrations.CreateModel(
            "RunText",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "run",
                    models.ForeignKey(
                        "training.TrainingRun", on_delete=django.db.models.deletion.CASCADE, related_name="texts"
                    ),
                ),
                (
                    "tokenization",
                    models.ForeignKey(
                        "datasets.Tokenization", on_delete=django.db.models.deletion.PROTECT, related_name="run_texts"
                    ),
                ),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.CreateModel(
            "RunMember",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("index", models.PositiveSmallIntegerField()),
                ("layer", models.PositiveIntegerField()),
                ("site", models.CharField(max_length=20)),
                ("architecture", models.CharField(max_length=40)),
                ("d_sae", models.PositiveIntegerField()),
                ("sparsity", models.FloatField()),
                ("seed", models.BigIntegerField(default=0)),
                ("loss", models.FloatField(blank=True, null=True)),
                ("fvu", models.FloatField(blank=True, null=True)),
                ("l0", models.FloatField(blank=True, null=True)),
                ("dead_share", models.FloatField(blank=True, null=True)),
                ("ce_recovered", models.FloatField(blank=True, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        "training.TrainingRun", on_delete=django.db.models.deletion.CASCADE, related_name="members"
                    ),
                ),
            ],
            options={
                "ordering": ["run", "index"],
                "constraints": [models.UniqueConstraint(fields=("run", "index"), name="one_member_per_index")],
            },
        ),
        migrations.AddField(
            "metricpoint",
            "member",
            models.ForeignKey(
                "training.RunMember",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="metric_points",
            ),
        ),
    ]
