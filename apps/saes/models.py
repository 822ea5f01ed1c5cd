"""SAEs and what was measured of them."""

from django.db import models
from django.urls import reverse

from apps.core.live.topics import EVALUATIONS, SAES
from apps.datasets.models import Tokenization
from apps.jobs.models import Subject
from apps.language_models.models import LanguageModel
from apps.training.models import RunMember, TrainingRun
from apps.training.words import ARCHITECTURE_NAMES


class Sae(models.Model):
    """A sparse dictionary at a hook site, as a SAELens folder in saes/<id>/ with its EncodeSpec."""

    ENTITY = SAES

    class Source(models.TextChoices):
        TRAINED = "trained", "trained here"

    name = models.CharField(max_length=200)
    source = models.CharField(max_length=12, choices=Source.choices)
    training_run = models.ForeignKey(TrainingRun, null=True, blank=True, on_delete=models.PROTECT, related_name="saes")
    member = models.OneToOneField(RunMember, null=True, blank=True, on_delete=models.PROTECT, related_name="sae")
    """Which SAE of its training run it is."""
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="saes")
    tokenization = models.ForeignKey(Tokenization, null=True, blank=True, on_delete=models.PROTECT, related_name="saes")
    """The tokenization it was trained on: the default for evaluation and feature runs."""
    layer = models.PositiveIntegerField()
    site = models.CharField(max_length=20)
    architecture = models.CharField(max_length=40)
    d_in = models.PositiveIntegerField()
    d_sae = models.PositiveIntegerField()
    encode = models.JSONField()
    """EncodeSpec, immutable."""
    bytes = models.BigIntegerField(default=0)
    weights_sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "SAE"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("saes:detail", args=[self.pk])

    @property
    def architecture_name(self) -> str:
        """As people write it: "TopK"."""
        return ARCHITECTURE_NAMES.get(self.architecture, self.architecture)

    @property
    def hook_site(self) -> str:
        return f"{self.layer}.{self.site}"

    @property
    def is_transcoder(self) -> bool:
        """Whether it answers another site than it reads."""
        return self.encode.get("hook_site_out") not in (None, self.encode.get("hook_site"))

    @property
    def evaluation(self) -> "Evaluation | None":
        """The newest finished evaluation."""
        return self.evaluations.filter(ready_at__isnull=False).first()


class Evaluation(Subject):
    """Numbers of one evaluation on held-out documents; formulas in engine/metrics.py. `report` is the full Result."""

    ENTITY = EVALUATIONS

    sae = models.ForeignKey(Sae, on_delete=models.CASCADE, related_name="evaluations")
    tokenization = models.ForeignKey(Tokenization, on_delete=models.PROTECT, related_name="evaluations")
    tokens = models.BigIntegerField(default=0)
    fvu = models.FloatField(null=True, blank=True)
    fvu_with_sinks = models.FloatField(null=True, blank=True)
    l0 = models.FloatField(null=True, blank=True)
    dead_share = models.FloatField(null=True, blank=True)
    ce_recovered = models.FloatField(null=True, blank=True)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"evaluation {self.pk} of {self.sae}"

    def get_absolute_url(self) -> str:
        return self.sae.get_absolute_url()

    @property
    def alive_share(self) -> float | None:
        """Share of latents that fired at least once."""
        return None if self.dead_share is None else 1 - self.dead_share
