"""What a tokenization would make of some rows or of a text of one's own, by the same path that stores it.

A warm child runs this: the last tokenizer stays loaded between previews.
"""

from functools import lru_cache
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from workers.engine.datasets.documents import Document, DocumentCutter
from workers.engine.datasets.rows import column_texts
from workers.engine.datasets.tokenizing import cutter_open, cutting_of, rows_open, texts_edited
from workers.engine.language_models.loading import tokenizer_load
from workers.engine.progress import Progress
from workers.engine.specs.tokenization import (
    PREVIEW_CHARACTERS,
    PreviewRow,
    TokenPreviewInputs,
    TokenPreviewResult,
    TokenPreviewSpec,
)

OWN_TEXT = -1
"""Stands for the row of a text of one's own."""


def token_preview(spec: TokenPreviewSpec, inputs: TokenPreviewInputs, progress: Progress) -> TokenPreviewResult:
    """Cut the rows that the Spec names. Raises EngineError "column_not_found", BadArtifact."""
    progress.phase("Cutting")
    tokenizer = _tokenizer(inputs.model_dir)
    if spec.text:
        cutter, start, texts = DocumentCutter(spec, tokenizer), OWN_TEXT, [spec.text]
    else:
        cutter, start, texts = _rows_cutter(spec, inputs, tokenizer)
    clipped = [text[:PREVIEW_CHARACTERS] for text in texts]
    documents = [d for group in cutter.cut(start, clipped, frozenset(inputs.excluded_rows)) for d in group]
    rows = tuple(_shown(document, tokenizer, len(text)) for document, text in zip(documents, texts))
    return TokenPreviewResult(rows=rows, first_token_id=cutting_of(spec, tokenizer).first_id)


def _rows_cutter(
    spec: TokenPreviewSpec, inputs: TokenPreviewInputs, tokenizer: PreTrainedTokenizerBase
) -> tuple[DocumentCutter, int, list[str]]:
    rows, column = rows_open(spec, inputs)
    cutter, write = cutter_open(spec, rows, column, tokenizer)
    found = column_texts(rows.slice(spec.first_row, spec.row_count).column(column).combine_chunks(), write)
    edits = {edited.row: edited.text for edited in inputs.edited_rows}
    return cutter, spec.first_row, texts_edited(spec.first_row, [text.text for text in found], edits)


def _shown(document: Document, tokenizer: PreTrainedTokenizerBase, characters: int) -> PreviewRow:
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(document.token_ids)]
    return PreviewRow(
        row=document.row,
        text=document.text or document.source,
        tokens=tuple(tokens),
        token_ids=tuple(document.token_ids),
        is_kept=tuple(document.is_kept or [True] * len(tokens)),
        drop_reason=document.drop_reason,
        is_clipped=characters > PREVIEW_CHARACTERS,
        is_refused=document.is_refused,
    )


def _tokenizer(model_dir: str) -> PreTrainedTokenizerBase:
    """Loaded once for each folder, and again when its files changed."""
    return _tokenizer_of(model_dir, (Path(model_dir) / "config.json").stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _tokenizer_of(model_dir: str, changed_ns: int) -> PreTrainedTokenizerBase:
    return tokenizer_load(model_dir)
