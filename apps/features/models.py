"""Feature runs and features: what is known, and said, about each latent of an SAE."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from urllib.parse import urlencode

from django.conf import settings
from django.db import models
from django.urls import reverse

from apps.core.live.topics import ABLATIONS, FEATURE_MAPS, FEATURE_RUNS, LANGUAGE_ANALYSES, TRIED_TEXTS
from apps.core.storage import data_path
from apps.datasets.models import Tokenization
from apps.features.search.index_sets import IndexSetField
from apps.jobs.models import Job, Subject
from apps.saes.models import Sae
from apps.saes.reading import reading_notes
from workers.engine.specs.features import DescribedSae, Peculiarity
from workers.engine.specs.try_text import TryTextSpec


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
    view = models.JSONField(default=dict)
    """A DefaultView: what its pages show at first."""

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"feature run {self.pk} of {self.sae}"

    def get_absolute_url(self) -> str:
        return reverse("features:list", args=[self.sae_id])

    def parts(self) -> Iterable[Subject]:
        """Analyses and ablations on its examples."""
        return chain(self.language_analyses.select_related("run__sae"), self.ablations.select_related("feature__sae"))

    @property
    def notes(self) -> list[str]:
        """Where it was read otherwise than the SAE was trained, in sentences."""
        return reading_notes(self.sae, self.report)

    @property
    def summary(self) -> dict[str, int | float | None]:
        """What its features are together: d_sae, dead, readable, mean density and score; empty before it is ready."""
        if not self.is_ready or not self.report:
            return {}
        described = DescribedSae.from_json(self.report)
        return {
            "d_sae": described.d_sae,
            "dead": described.d_sae - described.alive,
            "readable": described.readable,
            "mean_density": described.mean_density,
            "mean_score": described.mean_score,
        }

    @property
    def jobs(self) -> models.QuerySet[Job]:
        """All jobs that fill this run, newest first."""
        return Job.objects.filter(subject_entity=self.ENTITY, subject_id=self.lead_id or self.pk)


NUMBERS = ("density", "mean", "maximum", "firings", "consistency", "concentration", "agreement", "score", "interest")
"""The statistics of a feature's row."""


PECULIARITIES = {
    Peculiarity.NONE: "none",
    Peculiarity.DEAD: "dead",
    Peculiarity.RARE: "rare",
    Peculiarity.DENSE: "dense",
    Peculiarity.POSITION: "position",
    Peculiarity.LAYOUT: "layout",
    Peculiarity.ONE_TOKEN: "one token",
}
PECULIARITY_CHOICES = [(int(value), words) for value, words in PECULIARITIES.items()]
SURE_OF_ONE = 0.5
"""From this share on a peak word names its feature alone."""
NAME_WORDS = 4
"""Peak words of a name."""


class Feature(models.Model):
    """The researched object about latent `index` of an SAE. Statistics come from `run`; words are people's and survive runs."""

    # The constraint below begins with the SAE: an index of its own would only mislead the planner.
    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="features", db_index=False)
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
    """Agreement of its contexts, from 0 to 1; engine/features/scoring.py defines all four."""
    interest = models.FloatField(default=0.0)
    """How soon a person could name it; engine/features/naming.py defines it and the three that follow."""
    peculiarity = models.PositiveSmallIntegerField(choices=PECULIARITY_CHOICES, default=Peculiarity.NONE)
    peak_words = models.JSONField(default=list, blank=True)
    """[word, share] at the peaks of its strongest examples, largest share first."""
    gloss = models.CharField(max_length=400, blank=True)
    """One sentence about these peaks, made by the run."""
    promoted_tokens = models.CharField(max_length=300, blank=True)

    label = models.CharField(max_length=300, blank=True)
    category = models.CharField(max_length=200, blank=True)
    """A path such as "Emotion > Positive"."""
    label_source = models.CharField(max_length=20, blank=True)
    """Who chose label and category; empty without either."""
    notes = models.TextField(blank=True)
    is_starred = models.BooleanField(default=False)
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["sae", "index"], name="one_feature_per_latent")]
        indexes = [
            # All that a list filters and sorts by, so that counting and choosing a page never read the wide rows.
            models.Index(
                fields=["sae", "index", *NUMBERS, "is_starred", "label_source", "peculiarity"], name="feature_numbers"
            ),
            models.Index(fields=["sae", "category"], name="feature_category"),
            models.Index(fields=["sae", "index"], name="feature_noted", condition=~models.Q(notes="")),
        ]

    def __str__(self) -> str:
        return self.label or f"feature {self.index}"

    @property
    def auto_name(self) -> str:
        """Its peak words as a name: one with its share where it has most of the peaks, else the first few; or empty."""
        if not self.peak_words:
            return ""
        word, share = self.peak_words[0]
        if share >= SURE_OF_ONE:
            return f"{word} ({share * 100:.0f} %)"
        return ", ".join(word for word, _ in self.peak_words[:NAME_WORDS])

    @property
    def name(self) -> str:
        """What people called it, else its automatic name; pages tell the two apart (features/name.html)."""
        return self.label or self.auto_name

    def get_absolute_url(self) -> str:
        return reverse("features:detail", args=[self.sae_id, self.index])


class FeatureTerm(models.Model):
    """What search looks up: a term, and the features of an SAE that it leads to. search/terms.py says what becomes a term."""

    class Kind(models.IntegerChoices):
        FIRES_ON = 1, "token at which a feature fires"
        PROMOTES = 2, "token whose logit it raises"
        WORD = 3, "word of its label or category"
        CATEGORY = 4, "category that it lies in or below"

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.PositiveSmallIntegerField(choices=Kind)
    text = models.CharField(max_length=200)
    features = IndexSetField()
    """Indices of the features."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["sae", "kind", "text"],
                name="one_term",
                # PostgreSQL finds words by their beginning only where it compares character by character.
                opclasses=["int8_ops", "int2_ops", "varchar_pattern_ops"],
            )
        ]

    def __str__(self) -> str:
        return self.text


class Collection(models.Model):
    """A named selection of features, of one SAE or several."""

    name = models.CharField(max_length=200, unique=True)
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("features:collection", args=[self.pk])


class CollectionPart(models.Model):
    """The features of one SAE in a collection."""

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="parts", db_index=False)
    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="+")
    features = IndexSetField()
    """Indices of the features; never empty."""

    class Meta:
        ordering = ["sae"]
        constraints = [models.UniqueConstraint(fields=["collection", "sae"], name="one_part_per_sae")]

    def __str__(self) -> str:
        return f"{self.collection}, {self.sae}"


class LanguageAnalysis(Subject):
    """What a parser says of the peaks of one feature of a run, or of all. `report` is the FeatureLanguageResult; the analyses
    of all features lie in features/<run>/language/."""

    ENTITY = LANGUAGE_ANALYSES

    run = models.ForeignKey(FeatureRun, on_delete=models.CASCADE, related_name="language_analyses")
    index = models.PositiveIntegerField(null=True, blank=True)
    """The feature's number; null for all features of the run."""
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "language analyses"
        constraints = [
            models.UniqueConstraint(fields=["run", "index"], name="one_analysis_per_feature_of_a_run"),
            models.UniqueConstraint(
                fields=["run"], condition=models.Q(index__isnull=True), name="one_analysis_of_all_features_of_a_run"
            ),
        ]

    def __str__(self) -> str:
        return f"language of {'all features' if self.index is None else f'feature {self.index}'} of {self.run.sae}"

    def get_absolute_url(self) -> str:
        if self.index is None:
            return self.run.get_absolute_url()
        return f"{reverse('features:detail', args=[self.run.sae_id, self.index])}?panel=language"


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
        """The page with the question and its answer; no text stands in an address, where histories and logs keep it."""
        return reverse("features:tried", args=[self.pk])

    @property
    def spec(self) -> TryTextSpec:
        """The question; in its usual form once the job is gone."""
        job = self.job
        return job.loaded_spec if job is not None else TryTextSpec(sae=self.sae_id, text=self.text, other=self.other)


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
