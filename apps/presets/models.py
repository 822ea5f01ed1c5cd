"""Presets: saved Specs ("templates" in the interface)."""

from django.db import models
from django.urls import reverse


class Preset(models.Model):
    """A named Spec of one kind. `spec` holds only the options that the preset decides."""

    class Kind(models.TextChoices):
        TRAINING = "training", "Training"
        EXTRACTION = "extraction", "Extraction"
        LABELING = "labeling", "Labeling prompt"
        STEERING = "steering", "Steering prompt"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    spec = models.JSONField()
    schema = models.PositiveSmallIntegerField(default=1)
    """The schema number of the Spec class that `spec` was written with."""
    source = models.CharField(max_length=300, blank=True)
    """The paper or library that a shipped preset comes from; such a preset cannot be changed, only cloned."""
    is_shipped = models.BooleanField(default=False)
    is_favourite = models.BooleanField(default=False)
    use_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-is_favourite", "name"]
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="preset_name_is_unique_in_its_kind")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("presets:detail", args=[self.pk])
