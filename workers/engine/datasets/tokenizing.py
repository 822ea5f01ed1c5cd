"""Cuts a dataset's text into contexts of token ids with the tokenizer of a language model.

1. Rows become documents (documents.py): excluded and empty ones are left out, text the curator wrote replaces a
   row's own, cleaning and filters do what the Spec asks. What is left out is listed in dropped.parquet.
2. Documents are split: held out when SHA-256 of the row's text falls into the share. A document and its exact
   copies thus always land on the same side, whatever the order or number of rows, and however they are cleaned.
3. Each part is cut into contexts (packing.py) and counted (statistics.py).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from workers.engine.datasets.contexts import PARTS, Contexts
from workers.engine.datasets.documents import Document, DocumentCutter
from workers.engine.datasets.packing import ContextPacker, Cutting
from workers.engine.datasets.rows import Rows
from workers.engine.datasets.statistics import Statistics
from workers.engine.datasets.text_column import is_conversation
from workers.engine.disk import disk_require
from workers.engine.language_models.loading import first_token_id, tokenizer_load
from workers.engine.language_models.special_tokens import special_token_ids
from workers.engine.language_models.token_ids import ConversationWriter
from workers.engine.language_models.tokenizer_hash import tokenizer_sha256
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.specs.tokenization import DROP_REASONS, TokenizeInputs, TokenizeResult, TokenizeSpec
from workers.engine.text.control_marks import words_of_user
from workers.engine.text.conversations import Turn, conversation_text

BATCH_DISK_BYTES = 64 * 2**20
"""Room asked for before each batch of rows."""
COUNTED_CONTEXTS = 8192
"""Contexts whose tokens are looked at together."""
DROPPED_SCHEMA = pa.schema([("row", pa.int64()), ("reason", pa.string())])


class Tokenizing:
    """A tokenization in the making: `add` groups of documents in row order, then `close`."""

    def __init__(self, spec: TokenizeSpec, out_dir: str | Path, tokenizer: PreTrainedTokenizerBase) -> None:
        self.spec = spec
        cutting = cutting_of(spec, tokenizer)
        self.first_id = cutting.first_id
        self.packers = {part: ContextPacker(out_dir, part, cutting) for part in PARTS}
        self.statistics = Statistics(out_dir, len(tokenizer))
        self.dropped_rows: Counter[str] = Counter()
        self.filtered_tokens = self.dropped_document_tokens = self.refused_rows = 0
        self._dropped = pq.ParquetWriter(Path(out_dir) / "dropped.parquet", DROPPED_SCHEMA)

    @property
    def document_tokens(self) -> int:
        """Tokens that the tokenizer made so far."""
        packed = sum(packer.document_tokens for packer in self.packers.values())
        return packed + self.filtered_tokens + self.dropped_document_tokens

    def add(self, group: Sequence[Document]) -> None:
        """Store documents, list and count those that were dropped."""
        dropped = [document for document in group if document.drop_reason]
        self.dropped_rows.update(document.drop_reason for document in dropped)
        self.dropped_document_tokens += sum(len(document.token_ids) for document in dropped)
        self.refused_rows += sum(document.is_refused for document in group if document.drop_reason != "excluded")
        if dropped:
            rows, reasons = [d.row for d in dropped], [d.drop_reason for d in dropped]
            self._dropped.write_table(pa.table([rows, reasons], schema=DROPPED_SCHEMA))
        documents = [document for document in group if not document.drop_reason]
        kept = [document.kept_ids for document in documents]
        digests = [hashlib.sha256(document.source.encode("utf-8")).digest() for document in documents]
        self.filtered_tokens += sum(len(d.token_ids) - len(ids) for d, ids in zip(documents, kept) if d.is_kept)
        self.statistics.add(kept, digests)
        parts = ["heldout" if is_heldout(digest, self.spec.heldout_pct) else "train" for digest in digests]
        for name, packer in self.packers.items():
            chosen = [place for place, part in enumerate(parts) if part == name]
            packer.add([kept[place] for place in chosen], [documents[place].row for place in chosen])

    def close(self) -> None:
        """Write what is left."""
        for packer in self.packers.values():
            packer.close()
        self.statistics.close()
        self._dropped.close()

    def total(self, name: str) -> int:
        """A count of both packers together."""
        return sum(getattr(packer, name) for packer in self.packers.values())


def tokenize(spec: TokenizeSpec, inputs: TokenizeInputs, progress: Progress) -> TokenizeResult:
    """Write train and heldout contexts, statistics and the list of dropped rows to `inputs.out_dir`.

    Raises EngineError (column_not_found, no_first_token, too_little_text), BadArtifact, DiskFull.
    """
    rows, column = rows_open(spec, inputs)
    tokenizer = tokenizer_load(inputs.model_dir)
    cutter, write = cutter_open(spec, rows, column, tokenizer)
    work = Tokenizing(spec, inputs.out_dir, tokenizer)
    excluded = frozenset(inputs.excluded_rows)
    edits = {edited.row: edited.text for edited in inputs.edited_rows}
    progress.phase("Tokenizing", len(rows), "rows")
    for start, found in rows.text_batches(column, write=write):
        disk_require(inputs.out_dir, BATCH_DISK_BYTES)
        texts = texts_edited(start, [text.text for text in found], edits)
        for group in cutter.cut(start, texts, excluded):
            work.add(group)
        progress.advance(len(texts), f"{work.document_tokens:,} tokens")
    work.close()
    _tell_refused(write, work, progress)
    _check_enough(spec, work, progress)
    return _result(inputs, tokenizer, work, edited=len(edits.keys() - excluded))


def rows_open(spec: TokenizeSpec, inputs: TokenizeInputs) -> tuple[Rows, str]:
    """The dataset's rows, and the column that is cut. Raises EngineError "column_not_found", BadArtifact."""
    rows = Rows.open(inputs.dataset_dir)
    column = spec.text_column or inputs.text_column
    if column not in rows.schema.names:
        raise EngineError(
            f"The dataset has no column {column!r}.",
            f"Its columns are {', '.join(rows.schema.names)}.",
            code="column_not_found",
        )
    return rows, column


def cutter_open(
    spec: TokenizeSpec, rows: Rows, column: str, tokenizer: PreTrainedTokenizerBase
) -> tuple[DocumentCutter, Callable[[Sequence[Turn]], str]]:
    """What cuts the column's rows, and what writes its conversations: the chat template where there is one."""
    has_template = spec.chat_template and bool(tokenizer.chat_template)
    is_chat = has_template and is_conversation(rows.schema.field(column).type)
    write = ConversationWriter(tokenizer) if is_chat else conversation_text
    return DocumentCutter(spec, tokenizer, is_chat=is_chat), write


def texts_edited(start: int, texts: Sequence[str], edits: dict[int, str]) -> list[str]:
    """The texts of the rows from `start` on, with the curator's in place of a row's own: words, never control tokens."""
    return [words_of_user(edits[row]) if row in edits else text for row, text in enumerate(texts, start)]


def cutting_of(spec: TokenizeSpec, tokenizer: PreTrainedTokenizerBase) -> Cutting:
    """How the Spec wants contexts cut, in this tokenizer's ids. Raises EngineError "no_first_token"."""
    first_id = first_token_id(tokenizer)
    # A tokenizer without EOS has BOS: it marks the beginning of the next document instead, the same border.
    separator_id = first_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    return Cutting(
        context_length=spec.context_length,
        first_id=first_id if spec.prepend_bos else None,
        separator_id=separator_id if spec.separate_documents else None,
        fill_id=separator_id,
        overlap=spec.stride,
        is_packed=spec.packing == "packed",
        is_truncating=spec.overflow == "truncate",
    )


def is_heldout(digest: bytes, heldout_pct: float) -> bool:
    """Whether a document is held out: the SHA-256 of its text, read as a fraction of 1, lies below the share."""
    return int.from_bytes(digest[:8], "big") < heldout_pct / 100 * 2**64


def _tell_refused(write: Callable[[Sequence[Turn]], str], work: Tokenizing, progress: Progress) -> None:
    """A warning when conversations were not written as the template says."""
    if isinstance(write, ConversationWriter) and work.refused_rows:
        reason = write.refused.most_common(1)[0][0]
        progress.event(
            f"The chat template refused {work.refused_rows:,} of {write.written:,} conversations ({reason}): they are "
            "written as role-tagged blocks, without control tokens. The preview marks them.",
            level="warning",
        )


def _check_enough(spec: TokenizeSpec, work: Tokenizing, progress: Progress) -> None:
    train, heldout = work.packers["train"], work.packers["heldout"]
    if not train.contexts:
        raise EngineError(
            f"The text has {train.document_tokens:,} tokens for training: too few for one context of "
            f"{spec.context_length}.",
            "Import more rows, choose a shorter context, or filter less.",
            code="too_little_text",
        )
    if not heldout.contexts:
        progress.event(
            f"The {heldout.documents} held-out documents fill no context: nothing could be evaluated on this "
            "tokenization. Import more rows, hold out more, or choose a shorter context.",
            level="warning",
        )


def _result(
    inputs: TokenizeInputs, tokenizer: PreTrainedTokenizerBase, work: Tokenizing, *, edited: int
) -> TokenizeResult:
    train, heldout = work.packers["train"], work.packers["heldout"]
    special, positions = _special_tokens(inputs.out_dir, special_token_ids(tokenizer))
    return TokenizeResult(
        contexts=train.contexts,
        heldout_contexts=heldout.contexts,
        tokens=train.tokens,
        heldout_tokens=heldout.tokens,
        documents=train.documents,
        heldout_documents=heldout.documents,
        dropped_rows={reason: work.dropped_rows[reason] for reason in DROP_REASONS},
        edited_rows=edited,
        refused_rows=work.refused_rows,
        document_tokens=work.document_tokens,
        join_tokens=work.total("separators"),
        bos_tokens=work.total("first_tokens"),
        repeated_tokens=work.total("repeated"),
        filtered_tokens=work.filtered_tokens,
        truncated_tokens=work.total("truncated"),
        dropped_tokens=work.total("dropped"),
        dropped_document_tokens=work.dropped_document_tokens,
        duplicate_documents=work.statistics.duplicates,
        first_token_id=work.first_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        vocab_size=len(tokenizer),
        distinct_tokens=work.statistics.distinct_tokens,
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        tokens_sha256=_tokens_sha256(inputs.out_dir),
        bytes=sum(path.stat().st_size for path in Path(inputs.out_dir).iterdir()),
        special_tokens=special,
        special_share=special / positions if positions else None,
    )


def _special_tokens(out_dir: str, special_ids: Sequence[int]) -> tuple[int, int]:
    """How many tokens of both parts, but the first of each context, are special, and how many there are."""
    special = positions = 0
    for part in PARTS:
        contexts = Contexts.open(out_dir, part)
        for start in range(0, len(contexts), COUNTED_CONTEXTS):
            some = contexts[start : start + COUNTED_CONTEXTS]
            is_token = some.is_token[:, 1:]
            special += int((np.isin(some.tokens[:, 1:], special_ids) & is_token).sum())
            positions += int(is_token.sum())
    return special, positions


def _tokens_sha256(out_dir: str) -> str:
    """SHA-256 over the token ids of both parts, train first, as little-endian int32."""
    digest = hashlib.sha256()
    for part in PARTS:
        tokens = Contexts.open(out_dir, part).tokens
        for start in range(0, len(tokens), 8192):
            digest.update(np.ascontiguousarray(tokens[start : start + 8192], "<i4").data)
    return digest.hexdigest()
