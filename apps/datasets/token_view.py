"""Rows as tokens in place of text, on the pages of a dataset and of a row: ?tokens= names the language model."""

from collections.abc import Mapping
from typing import Any

from django import forms

from apps.core.spec_forms import spec_form
from apps.datasets.models import Dataset
from apps.language_models.models import LanguageModel
from workers.engine.specs.tokenization import TokenPreviewSpec

TOKEN_ROWS = 20
"""Rows on a page of tokens."""
MOST_TOKENIZERS = 6


def token_view_context(dataset: Dataset, query: Mapping[str, str]) -> dict[str, Any]:
    """Language models whose tokenizers can be chosen, newest first, and the chosen one; none without a text column."""
    ready = LanguageModel.objects.filter(ready_at__isnull=False).exclude(tokenizer_sha256="")
    tokenizers = list(ready[:MOST_TOKENIZERS]) if dataset.text_column else []
    asked = query.get("tokens", "")
    return {"tokenizers": tokenizers, "tokenizer": next((one for one in tokenizers if str(one.pk) == asked), None)}


def token_values(language_model: LanguageModel, first_row: int, row_count: int) -> dict[str, Any]:
    """What the form of a preview sends for some rows, all other options at their defaults."""
    fields = spec_form(TokenPreviewSpec).base_fields
    ticked = {name: "on" for name, field in fields.items() if isinstance(field, forms.BooleanField) and field.initial}
    return ticked | {"language_model": language_model.pk, "first_row": first_row, "row_count": row_count}
