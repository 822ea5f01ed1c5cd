from django.db import migrations, models


class Migration(migrations.Migration):
    """Starts of processes as words instead of times of day: those recorded before name no process any more."""

    dependencies = [("jobs", "0001_initial")]

    operations = [
        migrations.RemoveField("job", "pid_started"),
        migrations.RemoveField("worker", "pid_started"),
        migrations.AddField("job", "pid_started", models.CharField(blank=True, default="", max_length=80)),
        migrations.AddField("worker", "pid_started", models.CharField(blank=True, default="", max_length=80)),
    ]
