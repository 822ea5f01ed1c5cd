"""What the page of a preview shows: each row as text and as token chips, with counts and the reason when it is dropped."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from apps.datasets.models import TokenPreview
from apps.language_models.selectors import language_model_folder
from apps.language_models.vocabulary import vocabulary_of
from workers.engine.specs.tokenization import DROP_REASONS

TOKENIZER_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True)
class ShownRow:
    """One row of a preview. `row` is -1 for a text of one's own; `dropped` is "" for a row that makes a document."""

    row: int
    text: str
    tokens: list[str]
    is_kept: list[bool]
    dropped: str
    is_clipped: bool
    special: int
    ids: list[int]
    is_refused: bool
    """A conversation that the chat template refused."""

    @property
    def kept(self) -> int:
        return sum(self.is_kept)

    @property
    def filtered(self) -> int:
        return len(self.tokens) - self.kept


def preview_context(preview: TokenPreview) -> dict[str, Any]:
    """The template context of a preview: its rows, or while it is worked on those of the one before (`is_stale`)."""
    job = preview.job
    shown = preview if preview.is_ready else preview_before(preview)
    waits = job is not None and job.is_active
    return {
        "preview": preview,
        "job": job,
        "waits": waits,
        "is_stale": not preview.is_ready,
        "spelling": vocabulary_of(preview.language_model_id).spelling if shown else None,
        "rows": shown_rows(shown) if shown and (preview.is_ready or waits) else [],
    }


def preview_before(preview: TokenPreview) -> TokenPreview | None:
    """The user's newest finished preview before this one, when it shows the same rows by the same tokenizer."""
    found = TokenPreview.objects.filter(dataset=preview.dataset_id, created_by=preview.created_by_id, pk__lt=preview.pk)
    newest = found.exclude(ready_at=None).first()
    return newest if newest is not None and _asked(newest) == _asked(preview) else None


def _asked(preview: TokenPreview) -> tuple[Any, ...] | None:
    """Which rows, or what text, was asked for; of whose tokens."""
    job = preview.job
    if job is None:
        return None
    spec = job.loaded_spec
    return (preview.language_model_id, spec.first_row, spec.row_count, spec.text)


def shown_rows(preview: TokenPreview) -> list[ShownRow]:
    """The rows of a finished preview."""
    special = special_tokens(preview.language_model_id)
    return [
        ShownRow(
            row["row"],
            row["text"],
            row["tokens"],
            row["is_kept"],
            DROP_REASONS.get(row["drop_reason"], ""),
            row["is_clipped"],
            sum(token in special for token in row["tokens"]),
            row["token_ids"],
            row.get("is_refused", False),
        )
        for row in preview.report["rows"]
    ]


def special_tokens(language_model_id: int) -> frozenset[str]:
    """The strings of the tokenizer's special tokens, as its configuration file names them."""
    path = language_model_folder(language_model_id) / TOKENIZER_CONFIG
    return _special(path, path.stat().st_mtime_ns) if path.exists() else frozenset()


@lru_cache(maxsize=4)
def _special(path: Path, changed_ns: int) -> frozenset[str]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return frozenset()
    added = config.get("added_tokens_decoder", {}).values()
    named = [value for name, value in config.items() if name.endswith("_token")]
    words = [token["content"] for token in added if token.get("special")]
    words += [value["content"] if isinstance(value, dict) else value for value in named]
    return frozenset(word for word in words if isinstance(word, str))
