"""Cuts a dataset's text into contexts of token ids with the tokenizer of a language model.

    1. Rows without text and rows the curator excluded are left out and counted; text the curator wrote replaces a row's own.
    2. The rest is split by document: held out when SHA-256 of its text falls into the share. A document and its exact
       copies thus always land on the same side, whatever the order or number of rows.
    3. Each part is packed (packing.py): first token, documents joined by EOS, no pads.

The tokenizer adds no special tokens of its own. Text that spells one ("<|endoftext|>") is cut as ordinary text
(split_special_tokens), so that a web page about tokenizers cannot forge the end of a document.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from workers.engine.datasets.contexts import PARTS, Contexts, Part
from workers.engine.datasets.packing import ContextPacker
from workers.engine.datasets.rows import Rows
from workers.engine.disk import disk_require
from workers.engine.language_models.loading import first_token_id, tokenizer_load
from workers.engine.language_models.tokenizer_hash import tokenizer_sha256
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.specs.tokenization import TokenizeInputs, TokenizeResult, TokenizeSpec

BATCH_CHARACTERS = 4_000_000
"""Text handed to the tokenizer at once; its encodings take some hundred bytes for each token."""
BATCH_DISK_BYTES = 64 * 2**20
"""Room asked for before each batch of rows."""


@dataclass
class RowCounts:
    """Rows that made no document (empty, excluded), and documents whose text the curator replaced (edited)."""

    empty: int = 0
    excluded: int = 0
    edited: int = 0


@dataclass(frozen=True)
class Document:
    """One row's text with its place in the dataset."""

    row: int
    text: str


def tokenize(spec: TokenizeSpec, inputs: TokenizeInputs, progress: Progress) -> TokenizeResult:
    """Write train and heldout contexts to `inputs.out_dir`.

    Raises EngineError (column_not_found, no_first_token, too_little_text), BadArtifact, DiskFull.
    """
    rows = Rows.open(inputs.dataset_dir)
    if inputs.text_column not in rows.schema.names:
        raise EngineError(
            f"The dataset has no column {inputs.text_column!r}.",
            f"Its columns are {', '.join(rows.schema.names)}.",
            code="column_not_found",
        )
    tokenizer = tokenizer_load(inputs.model_dir)
    packers = _packers_open(spec, inputs, tokenizer)
    counts, excluded = RowCounts(), set(inputs.excluded_rows)
    edits = {edited.row: edited.text for edited in inputs.edited_rows}
    is_stored = np.zeros(len(tokenizer), bool)
    progress.phase("Tokenizing", len(rows), "rows")
    for start, texts in rows.text_batches(inputs.text_column):
        disk_require(inputs.out_dir, BATCH_DISK_BYTES)
        edited = [edits.get(row, found.text) for row, found in enumerate(texts, start)]
        documents = _documents_keep(start, edited, excluded, counts)
        counts.edited += sum(document.row in edits for document in documents)
        for batch in _bounded(documents):
            _pack(batch, tokenizer, packers, spec.heldout_pct, counts, is_stored)
        tokens = sum(packer.document_tokens for packer in packers.values())
        progress.advance(len(texts), f"{tokens:,} tokens")
    for packer in packers.values():
        packer.close()
    _check_enough(spec, packers, progress)
    return _result(inputs, tokenizer, packers, counts, int(is_stored.sum()))


def is_heldout(text: str, heldout_pct: float) -> bool:
    """Whether a document is held out: its hash, read as a fraction of 1, lies below the share."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") < heldout_pct / 100 * 2**64


def _packers_open(
    spec: TokenizeSpec, inputs: TokenizeInputs, tokenizer: PreTrainedTokenizerBase
) -> dict[Part, ContextPacker]:
    first_id = first_token_id(tokenizer)
    # A tokenizer without EOS has BOS: it marks the beginning of the next document instead, the same border.
    separator_id = first_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    return {part: ContextPacker(inputs.out_dir, part, spec.context_length, first_id, separator_id) for part in PARTS}


def _documents_keep(start: int, texts: list[str], excluded: set[int], counts: RowCounts) -> list[Document]:
    """The rows that are documents; the others are counted."""
    kept = []
    for row, text in enumerate(texts, start):
        if row in excluded:
            counts.excluded += 1
        elif not text.strip():
            counts.empty += 1
        else:
            kept.append(Document(row, text))
    return kept


def _bounded(documents: list[Document]) -> Iterator[list[Document]]:
    """The documents in order, in groups of bounded total length (or one long document alone)."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        if group and characters + len(document.text) > BATCH_CHARACTERS:
            yield group
            group, characters = [], 0
        group.append(document)
        characters += len(document.text)
    if group:
        yield group


def _pack(
    documents: list[Document],
    tokenizer: PreTrainedTokenizerBase,
    packers: dict[Part, ContextPacker],
    heldout_pct: float,
    counts: RowCounts,
    is_stored: np.ndarray,
) -> None:
    """Tokenize a group and add each document to its part; a text the tokenizer makes nothing of counts as empty."""
    encoded = tokenizer(
        [document.text for document in documents],
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    chosen: dict[Part, tuple[list[list[int]], list[int]]] = {part: ([], []) for part in PARTS}
    for document, ids in zip(documents, encoded):
        if not ids:
            counts.empty += 1
            continue
        ids_of_part, rows_of_part = chosen["heldout" if is_heldout(document.text, heldout_pct) else "train"]
        ids_of_part.append(ids)
        rows_of_part.append(document.row)
    for part, packer in packers.items():
        is_stored[packer.add(*chosen[part])] = True


def _check_enough(spec: TokenizeSpec, packers: dict[Part, ContextPacker], progress: Progress) -> None:
    train, heldout = packers["train"], packers["heldout"]
    if not train.contexts:
        raise EngineError(
            f"The text has {train.document_tokens:,} tokens for training: too few for one context of "
            f"{spec.context_length}.",
            "Import more rows, or choose a shorter context.",
            code="too_little_text",
        )
    if not heldout.contexts:
        progress.event(
            f"The {heldout.documents} held-out documents fill no context: nothing could be evaluated on this "
            "tokenization. Import more rows, hold out more, or choose a shorter context.",
            level="warning",
        )


def _result(
    inputs: TokenizeInputs,
    tokenizer: PreTrainedTokenizerBase,
    packers: dict[Part, ContextPacker],
    counts: RowCounts,
    distinct_tokens: int,
) -> TokenizeResult:
    train, heldout = packers["train"], packers["heldout"]
    return TokenizeResult(
        contexts=train.contexts,
        heldout_contexts=heldout.contexts,
        documents=train.documents,
        heldout_documents=heldout.documents,
        empty_rows=counts.empty,
        excluded_rows=counts.excluded,
        document_tokens=train.document_tokens + heldout.document_tokens,
        join_tokens=train.separators + heldout.separators,
        bos_tokens=train.first_tokens + heldout.first_tokens,
        dropped_tokens=train.dropped + heldout.dropped,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        vocab_size=len(tokenizer),
        distinct_tokens=distinct_tokens,
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        tokens_sha256=_tokens_sha256(inputs.out_dir),
        bytes=sum(path.stat().st_size for path in Path(inputs.out_dir).glob("*.safetensors")),
        edited_rows=counts.edited,
    )


def _tokens_sha256(out_dir: str) -> str:
    """SHA-256 over the token ids of both parts, train first, as little-endian int32."""
    digest = hashlib.sha256()
    for part in PARTS:
        tokens = Contexts.open(out_dir, part).tokens
        for start in range(0, len(tokens), 8192):
            digest.update(np.ascontiguousarray(tokens[start : start + 8192], "<i4").data)
    return digest.hexdigest()
