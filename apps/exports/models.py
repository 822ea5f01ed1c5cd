"""Exports: archives for others, in exports/<id>/."""

from django.db import models
from django.urls import reverse

from apps.core.live.topics import EXPORTS
from apps.jobs.models import Subject
from apps.saes.models import Sae
from workers.engine.specs.exports import EXPORT_FORMATS


class Export(Subject):
    """One packed archive of an SAE."""

    ENTITY = EXPORTS

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="exports")
    format = models.CharField(max_length=20, choices=EXPORT_FORMATS)
    file_name = models.CharField(max_length=200, blank=True)
    bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    members = models.JSONField(default=list)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.file_name or f"export {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("exports:detail", args=[self.pk])
