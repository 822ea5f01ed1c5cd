"""Training runs, the SAEs they train (members), the points of their charts, and their checkpoints."""

from django.db import models
from django.urls import reverse

from apps.activations.models import ActivationCache
from apps.core.live.topics import TRAININGS
from apps.datasets.models import Tokenization
from apps.jobs.models import Subject
from apps.language_models.models import LanguageModel
from apps.training.words import ARCHITECTURE_NAMES
from workers.engine.specs.hook_site import HookSite


class TrainingRun(Subject):
    """One configured training of one SAE or a sweep of them.

    The latest metrics of its first member stand in columns for lists; those of every member in RunMember, all of them in
    MetricPoint.
    """

    ENTITY = TRAININGS

    name = models.CharField(max_length=200)
    activation_cache = models.ForeignKey(
        ActivationCache, null=True, blank=True, on_delete=models.PROTECT, related_name="training_runs"
    )
    """Null when the language model runs along."""
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="training_runs")
    tokenization = models.ForeignKey(Tokenization, on_delete=models.PROTECT, related_name="training_runs")
    """The first of its texts; further ones are `texts`."""
    spec = models.JSONField()
    architecture = models.CharField(max_length=40)
    d_sae = models.PositiveIntegerField()
    steps = models.BigIntegerField()
    """Steps asked for."""
    step = models.BigIntegerField(default=0)
    """Steps done."""
    # d_sae and these four are those of its first SAE, to search and sort by; pages show what all have
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

    @property
    def architecture_name(self) -> str:
        """As people write it: "TopK"."""
        return ARCHITECTURE_NAMES[self.architecture]

    def get_absolute_url(self) -> str:
        return reverse("training:detail", args=[self.pk])


class RunText(models.Model):
    """A further tokenization that a run learns from, in the order of its Spec."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="texts")
    tokenization = models.ForeignKey(Tokenization, on_delete=models.PROTECT, related_name="run_texts")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.tokenization} in {self.run}"


class RunMember(models.Model):
    """One SAE of a training run: where it reads, what sets it apart from the others, its latest metrics."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="members")
    index = models.PositiveSmallIntegerField()
    """Its place in TrainSpec.members()."""
    layer = models.PositiveIntegerField()
    site = models.CharField(max_length=20)
    architecture = models.CharField(max_length=40)
    d_sae = models.PositiveIntegerField()
    sparsity = models.FloatField()
    """The option that sets its sparsity: k, L1 or L0 coefficient."""
    seed = models.BigIntegerField(default=0)
    loss = models.FloatField(null=True, blank=True)
    fvu = models.FloatField(null=True, blank=True)
    l0 = models.FloatField(null=True, blank=True)
    dead_share = models.FloatField(null=True, blank=True)
    ce_recovered = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["run", "index"]
        constraints = [models.UniqueConstraint(fields=["run", "index"], name="one_member_per_index")]

    def __str__(self) -> str:
        return f"{self.run} [{self.index}]"

    @property
    def hook_site(self) -> HookSite:
        return HookSite(layer=self.layer, site=self.site)


class MetricPoint(models.Model):
    """One point of a member's charts: values by name, as the engine's progress.metrics gave them."""

    member = models.ForeignKey(RunMember, on_delete=models.CASCADE, related_name="metric_points")
    step = models.BigIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["member", "step"], name="one_metric_point_per_step")]

    def __str__(self) -> str:
        return f"step {self.step} of member {self.member_id}"


class Checkpoint(models.Model):
    """A complete checkpoint of a run, all members in one folder; `path` is relative to DATA_DIR.

    `values` has the latest metrics of each member by its index, as text: {"0": {"fvu": …}}.
    """

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
