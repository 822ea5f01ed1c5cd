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
    """The first of its texts; further ones are `texts`."""
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="activation_caches")
    is_paired = models.BooleanField(default=False)
    """mlp_out of the same tokens is kept beside mlp_in."""
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


class CacheText(models.Model):
    """A further tokenization in an activation cache, in the order of its Spec."""

    activation_cache = models.ForeignKey(ActivationCache, on_delete=models.CASCADE, related_name="texts")
    tokenization = models.ForeignKey(Tokenization, on_delete=models.PROTECT, related_name="cache_texts")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.tokenization} in {self.activation_cache}"

    def get_absolute_url(self) -> str:
        """Where it is seen: on the cache's page."""
        return self.activation_cache.get_absolute_url()
