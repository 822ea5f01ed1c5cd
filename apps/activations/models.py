"""Activation caches: a language model's vectors at one hook site, on disk."""

from django.db import models
from django.urls import reverse

from apps.core.live.topics import ACTIVATIONS
from apps.datasets.models import Tokenization
from apps.jobs.models import Subject
from apps.language_models.models import LanguageModel


class ActivationCache(Subject):
    """Activations of a tokenization's training part, bfloat16, in activations/<id>/. `report` is the full Result."""

    ENTITY = ACTIVATIONS

    tokenization = models.ForeignKey(Tokenization, on_delete=models.PROTECT, related_name="activation_caches")
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="activation_caches")
    layer = models.PositiveIntegerField()
    site = models.CharField(max_length=20)
    tokens = models.BigIntegerField(default=0)
    d_in = models.PositiveIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    sink_threshold = models.FloatField(null=True, blank=True)
    mean_norm = models.FloatField(null=True, blank=True)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.language_model} {self.layer}.{self.site}"

    def get_absolute_url(self) -> str:
        return reverse("activations:detail", args=[self.pk])

    @property
    def hook_site(self) -> str:
        return f"{self.layer}.{self.site}"
