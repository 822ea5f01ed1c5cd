"""Language models: the transformers under study, and what the Hub said of one before it was imported."""

from django.db import models
from django.urls import reverse

from apps.core.live.topics import LANGUAGE_MODEL_LOOKUPS, LANGUAGE_MODELS
from apps.jobs.models import Subject
from workers.engine.specs.language_models import LANGUAGE_MODEL_SOURCES, QUANTIZATIONS


class LanguageModel(Subject):
    """One decoder-only model with its tokenizer, as safetensors in models/<id>/. `report` is the importer's full Result."""

    ENTITY = LANGUAGE_MODELS

    name = models.CharField(max_length=200)
    source = models.CharField(max_length=10, choices=LANGUAGE_MODEL_SOURCES)
    origin = models.CharField(max_length=500)
    """Repository id, or the name of the file or folder it came from: never the machine's path."""
    revision = models.CharField(max_length=100, blank=True)
    licence = models.CharField(max_length=100, blank=True)
    model_type = models.CharField(max_length=60, blank=True)
    layers = models.PositiveIntegerField(default=0)
    d_model = models.PositiveIntegerField(default=0)
    vocab_size = models.PositiveIntegerField(default=0)
    parameters = models.BigIntegerField(default=0)
    dtype = models.CharField(max_length=20, blank=True)
    """Of the weights on disk."""
    quantization = models.CharField(max_length=10, choices=QUANTIZATIONS, blank=True)
    """How the weights are held in memory."""
    footprint_bytes = models.BigIntegerField(default=0)
    """Measured in that quantization; 0 where it was never measured."""
    bytes = models.BigIntegerField(default=0)
    tokenizer_sha256 = models.CharField(max_length=64, blank=True)
    weights_sha256 = models.CharField(max_length=64, blank=True)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("language_models:detail", args=[self.pk])


class LanguageModelLookup(Subject):
    """What the Hub said of a language model; `report` is the full Result. Kept for a day."""

    ENTITY = LANGUAGE_MODEL_LOOKUPS

    repo_id = models.CharField(max_length=200)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.repo_id

    def get_absolute_url(self) -> str:
        return f"{reverse('language_models:new')}?lookup={self.pk}"
