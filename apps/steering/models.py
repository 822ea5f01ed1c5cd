"""Steering experiments and the texts they generated."""

from django.db import models
from django.urls import reverse

from apps.core.live.topics import EXPERIMENTS
from apps.jobs.models import Subject
from apps.saes.models import Sae


class Experiment(Subject):
    """One steering Spec and its outcome. `report` is the full Result."""

    ENTITY = EXPERIMENTS

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="experiments")
    name = models.CharField(max_length=200, blank=True)
    spec = models.JSONField()
    prompt = models.TextField()
    is_saved = models.BooleanField(default=False)
    """Kept by the user; others are history and may be pruned."""
    differs = models.BooleanField(null=True)
    delta_norm = models.FloatField(null=True, blank=True)
    activation_norm = models.FloatField(null=True, blank=True)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name or f"experiment {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("steering:detail", args=[self.pk])


class Generation(models.Model):
    """One generated continuation under one condition."""

    class Condition(models.TextChoices):
        BASELINE = "baseline", "baseline"
        STEERED = "steered", "steered"

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="generations")
    condition = models.CharField(max_length=10, choices=Condition.choices)
    text = models.TextField()
    tokens = models.JSONField()
    """Token strings, in order."""
    seed = models.PositiveIntegerField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.condition} of {self.experiment}"
