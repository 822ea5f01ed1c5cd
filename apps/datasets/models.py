"""Datasets (rows of text), what curators marked in them, tokenizations (contexts), and what was asked before either."""

from django.db import models
from django.urls import reverse

from apps.core.live.topics import DATASET_LOOKUPS, DATASETS, TOKEN_PREVIEWS, TOKENIZATIONS
from apps.jobs.models import Subject
from apps.language_models.models import LanguageModel
from workers.engine.specs.datasets import DATASET_SOURCES, is_named_like_an_id


class Dataset(Subject):
    """Rows as downloaded or imported, as Parquet in datasets/<id>/. `report` is the importer's full Result."""

    ENTITY = DATASETS

    name = models.CharField(max_length=200)
    source = models.CharField(max_length=10, choices=DATASET_SOURCES)
    origin = models.CharField(max_length=500)
    """Repository id with configuration and split, or the name of the file it came from: never the machine's path."""
    licence = models.CharField(max_length=100, blank=True)
    rows = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    text_column = models.CharField(max_length=200, blank=True)
    content_sha256 = models.CharField(max_length=64, blank=True)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("datasets:detail", args=[self.pk])

    @property
    def is_text_an_id(self) -> bool:
        """Whether the text column is named like an identifier: perhaps another one was meant."""
        return is_named_like_an_id(self.text_column)


class RowMark(models.Model):
    """What a curator did to one row: left it out, tagged it, or replaced its text. Tokenization honours it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="marks")
    row = models.BigIntegerField(help_text="Position in the dataset, from 0.")
    excluded = models.BooleanField(default=False, help_text="Leave this row out of new tokenizations.")
    tags = models.CharField(max_length=200, blank=True, help_text="Words separated by commas.")
    text = models.TextField(null=True, blank=True, help_text="Used in place of the row's text when not empty.")
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["dataset", "row"]
        constraints = [models.UniqueConstraint(fields=["dataset", "row"], name="one_mark_per_row")]

    def __str__(self) -> str:
        return f"row {self.row} of {self.dataset}"


class Tokenization(Subject):
    """A dataset cut into contexts by one tokenizer, in tokenizations/<id>/. `report` is the full Result."""

    ENTITY = TOKENIZATIONS

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="tokenizations")
    language_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="tokenizations")
    context_length = models.PositiveIntegerField()
    variant = models.CharField(max_length=200, blank=True)
    """Its other settings, as far as they are not the defaults, in words."""
    contexts = models.BigIntegerField(default=0)
    heldout_contexts = models.BigIntegerField(default=0)
    train_tokens = models.BigIntegerField(default=0)
    heldout_tokens = models.BigIntegerField(default=0)
    tokenizer_sha256 = models.CharField(max_length=64, blank=True)
    tokens_sha256 = models.CharField(max_length=64, blank=True)
    bytes = models.BigIntegerField(default=0)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        size = f"{self.context_length} tokens"
        return f"{self.dataset} × {self.language_model}, {', '.join(filter(None, [size, self.variant]))}"

    def get_absolute_url(self) -> str:
        return reverse("datasets:tokenization", args=[self.pk])

    @property
    def tokens(self) -> int:
        """Tokens stored, both parts, first tokens included."""
        return self.train_tokens + self.heldout_tokens


class DatasetLookup(Subject):
    """What the Hub said of a dataset; `report` is the full Result. Kept for a day."""

    ENTITY = DATASET_LOOKUPS

    repo_id = models.CharField(max_length=200)
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.repo_id

    def get_absolute_url(self) -> str:
        return f"{reverse('datasets:new')}?lookup={self.pk}"


class TokenPreview(Subject):
    """What a tokenization would make of some rows; `report` is the full Result. Kept for a day."""

    ENTITY = TOKEN_PREVIEWS

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="previews")
    language_model = models.ForeignKey(LanguageModel, on_delete=models.CASCADE, related_name="previews")
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.dataset} × {self.language_model}"

    def get_absolute_url(self) -> str:
        return reverse("datasets:preview", args=[self.pk])
