"""Live fragments of datasets, look-ups and tokenizations: the card of each one's page."""

from django.template.loader import render_to_string

from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import DATASET_LOOKUPS, DATASETS, TOKEN_PREVIEWS, TOKENIZATIONS
from apps.datasets.lookups import lookup_context
from apps.datasets.models import Dataset, DatasetLookup, Tokenization, TokenPreview
from apps.datasets.previews import preview_context
from apps.datasets.tokenization_account import tokenization_account


@renders(DATASETS)
def dataset_card(pk: str) -> str | None:
    """The dataset's numbers, or its import under way."""
    dataset = row_or_none(Dataset.objects.all(), pk)
    if dataset is None:
        return None
    return render_to_string("datasets/detail.html#card", {"dataset": dataset, "job": dataset.job})


@renders(DATASET_LOOKUPS)
def lookup_card(pk: str) -> str | None:
    """What the Hub said of a dataset, or the question under way."""
    lookup = row_or_none(DatasetLookup.objects.all(), pk)
    if lookup is None:
        return None
    return render_to_string("datasets/new.html#lookup", lookup_context(lookup))


@renders(TOKENIZATIONS)
def tokenization_card(pk: str) -> str | None:
    """The tokenization's accounting, or its job under way."""
    tokenization = row_or_none(Tokenization.objects.select_related("dataset", "language_model"), pk)
    if tokenization is None:
        return None
    context = {"tokenization": tokenization, "job": tokenization.job, **tokenization_account(tokenization)}
    return render_to_string("datasets/tokenization.html#card", context)


@renders(TOKEN_PREVIEWS)
def token_preview(pk: str) -> str | None:
    """The preview's rows as text and tokens, or how its job stands."""
    preview = row_or_none(TokenPreview.objects.select_related("dataset"), pk)
    if preview is None:
        return None
    return render_to_string("datasets/preview.html#result", {**preview_context(preview), "is_pushed": True})
