"""Training runs with the points of their charts and their checkpoints."""

from django.db import models
from django.urls import reverse

from apps.activations.models import ActivationCache
from apps.core.live.topics import TRAININGS
from apps.jobs.models import Subject


class TrainingRun(Subject):
    """One configured training. The latest metrics stand in columns for lists; all of them are MetricPoints."""

    ENTITY = TRAININGS

    name = models.CharField(max_length=200)
    activation_cache = models.ForeignKey(ActivationCache, on_delete=models.PROTECT, related_name="training_runs")
    spec = models.JSONField()
    architecture = models.CharField(max_length=40)
    d_sae = models.PositiveIntegerField()
    steps = models.BigIntegerField()
    """Steps asked for."""
    step = models.BigIntegerField(default=0)
    """Steps done."""
    loss = models.FloatField(null=True, blank=True)
    fvu = models.FloatField(null=True, blank=True)
    l0 = models.FloatField(null=True, blank=True)
    dead_share = models.FloatField(null=True, blank=True)
    tokens_per_s = models.FloatField(null=True, blank=True)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("training:detail", args=[self.pk])


class MetricPoint(models.Model):
    """One point of a run's charts: values by name, as the engine's progress.metrics gave them."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="metric_points")
    step = models.BigIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_metric_point_per_step")]

    def __str__(self) -> str:
        return f"step {self.step} of run {self.run_id}"


class Checkpoint(models.Model):
    """A complete checkpoint of a run; `path` is relative to DATA_DIR."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="checkpoints")
    step = models.BigIntegerField()
    path = models.CharField(max_length=300)
    bytes = models.BigIntegerField()
    values = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_checkpoint_per_step")]

    def __str__(self) -> str:
        return f"step {self.step} of run {self.run_id}"
