"""Feature runs and features: what is known, and said, about each latent of an SAE."""

from pathlib import Path
from urllib.parse import urlencode

from django.db import models
from django.urls import reverse

from apps.core.live.topics import ABLATIONS, FEATURE_MAPS, FEATURE_RUNS, TRIED_TEXTS
from apps.core.storage import data_path
from apps.datasets.models import Tokenization
from apps.jobs.models import Job, Subject
from apps.saes.models import Sae


class FeatureRun(Subject):
    """The job that fills statistics and examples of all latents; files in features/<id>/. `report` is the DescribedSae.

    A job that describes several SAEs has a run for each: it belongs to the first, their `lead`.
    """

    ENTITY = FEATURE_RUNS

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="feature_runs")
    tokenization = models.ForeignKey(Tokenization, on_delete=models.PROTECT, related_name="feature_runs")
    lead = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="followers")
    tokens = models.BigIntegerField(default=0)
    alive = models.PositiveIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"feature run {self.pk} of {self.sae}"

    def get_absolute_url(self) -> str:
        return reverse("features:list", args=[self.sae_id])

    @property
    def jobs(self) -> models.QuerySet[Job]:
        """All jobs that fill this run, newest first."""
        return Job.objects.filter(subject_entity=self.ENTITY, subject_id=self.lead_id or self.pk)


class Feature(models.Model):
    """The researched object about latent `index` of an SAE. Statistics come from `run`; words are people's and survive runs."""

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="features")
    run = models.ForeignKey(FeatureRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="features")
    index = models.PositiveIntegerField()

    density = models.FloatField(default=0.0)
    mean = models.FloatField(default=0.0)
    """Mean of the positive activations."""
    maximum = models.FloatField(default=0.0)
    firings = models.BigIntegerField(default=0)
    consistency = models.FloatField(default=0.0)
    concentration = models.FloatField(default=0.0)
    agreement = models.FloatField(default=0.0)
    score = models.FloatField(default=0.0)
    """How well it can be read, from 0 to 1; engine/features/scoring.py defines all four."""
    top_tokens = models.CharField(max_length=300, blank=True)
    """Tokens at which it fires most often, most frequent first: searched, and shown in the list."""
    promoted_tokens = models.CharField(max_length=300, blank=True)

    label = models.CharField(max_length=300, blank=True)
    category = models.CharField(max_length=200, blank=True)
    """A path such as "Emotion > Positive"."""
    label_source = models.CharField(max_length=20, blank=True)
    notes = models.TextField(blank=True)
    is_starred = models.BooleanField(default=False)
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["sae", "index"], name="one_feature_per_latent")]
        indexes = [
            models.Index(fields=["sae", "density"], name="feature_density"),
            models.Index(fields=["sae", "maximum"], name="feature_maximum"),
            models.Index(fields=["sae", "score"], name="feature_score"),
            models.Index(fields=["sae", "category"], name="feature_category"),
        ]

    def __str__(self) -> str:
        return self.label or f"feature {self.index}"

    def get_absolute_url(self) -> str:
        return reverse("features:detail", args=[self.sae_id, self.index])


class TriedText(Subject):
    """What an SAE reads in a text, or in two; `report` is the full TryTextResult. Kept for a day."""

    ENTITY = TRIED_TEXTS

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="tried_texts")
    text = models.TextField()
    other = models.TextField(blank=True)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.text[:60]}…" if len(self.text) > 60 else self.text

    def get_absolute_url(self) -> str:
        """The page with everything in its address, so that a link shows the same to others."""
        asked = {"sae": self.sae_id, "text": self.text} | ({"other": self.other} if self.other else {})
        return f"{reverse('features:try')}?{urlencode(asked)}"


class Ablation(Subject):
    """What the language model loses without a feature, on the contexts of one feature run; `report` is the full AblateResult.

    One row for each feature and run: measuring again overwrites it.
    """

    ENTITY = ABLATIONS

    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="ablations")
    run = models.ForeignKey(FeatureRun, on_delete=models.CASCADE, related_name="ablations")
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["feature", "run"], name="one_ablation_for_feature_and_run")]

    def __str__(self) -> str:
        return f"ablation of feature {self.feature.index} of {self.feature.sae}"

    def get_absolute_url(self) -> str:
        return f"{self.feature.get_absolute_url()}#ablation"


class FeatureMap(Subject):
    """A layout of an SAE's features on a plane; the places lie in saes/<sae>/maps/<id>/. `report` is the FeatureMapResult."""

    ENTITY = FEATURE_MAPS

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="feature_maps")
    method = models.CharField(max_length=10)
    """As asked for until it is ready, then what was used."""
    bytes = models.BigIntegerField(default=0)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"map {self.pk} of {self.sae}"

    def get_absolute_url(self) -> str:
        return f"{reverse('features:map', args=[self.sae_id])}?{urlencode({'map': self.pk})}"

    @property
    def folder(self) -> Path:
        """Where its file lies: with the SAE, so that it goes with it."""
        return data_path("saes", self.sae_id, "maps", self.pk)
