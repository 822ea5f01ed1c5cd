import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0003_one_member_for_each_run")]

    operations = [
        migrations.RemoveConstraint("metricpoint", "one_metric_point_per_step"),
        migrations.RemoveField("metricpoint", "run"),
        migrations.AlterField(
            "metricpoint",
            "member",
            models.ForeignKey(
                "training.RunMember", on_delete=django.db.models.deletion.CASCADE, related_name="metric_points"
            ),
        ),
        migrations.AddConstraint(
            "metricpoint", models.UniqueConstraint(fields=("member", "step"), name="one_metric_point_per_step")
        ),
        migrations.AlterField(
            "trainingrun",
            "language_model",
            models.ForeignKey(
                "language_models.LanguageModel",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="training_runs",
            ),
        ),
        migrations.AlterField(
            "trainingrun",
            "tokenization",
            models.ForeignKey(
                "datasets.Tokenization", on_delete=django.db.models.deletion.PROTECT, related_name="training_runs"
            ),
        ),
    ]
