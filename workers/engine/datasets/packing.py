"""Packs documents of any length into contexts of one length, without pads and without losing count of a token.

The documents of a part form one stream, a separator between each two of them. The stream is cut into pieces of T - 1
tokens; each piece, with the first token (BOS) before it, is a context. The last piece, when incomplete, is dropped:

    document tokens + separators + first tokens = N × T + dropped

Shapes: N contexts, T tokens in a context.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workers.engine.datasets.contexts import Part, contexts_write


class ContextPacker:
    """One part in the making: `add` documents in order, then `close`. Tokens wait on disk, not in memory."""

    def __init__(self, folder: str | Path, part: Part, context_length: int, first_id: int, separator_id: int) -> None:
        self.folder, self.part = Path(folder), part
        self.context_length, self.first_id, self.separator_id = context_length, first_id, separator_id
        self.contexts = self.documents = self.document_tokens = self.separators = 0
        self._rest = np.empty(0, np.int32)
        self._rest_rows = np.empty(0, np.int64)
        self._raw_path = self.folder / f"{part}.tokens"
        self._raw = self._raw_path.open("wb")
        self._first_rows: list[np.ndarray] = []

    @property
    def first_tokens(self) -> int:
        """First tokens put before the stored contexts."""
        return self.contexts

    @property
    def dropped(self) -> int:
        """Tokens that did not fill a context."""
        return len(self._rest)

    def add(self, documents: Sequence[list[int]], rows: Sequence[int]) -> np.ndarray:
        """Append documents (none of them empty) that stand in dataset `rows`; returns the finished contexts (n, T) int32.

        A separator belongs to the row of the document behind it.
        """
        if not documents:
            return np.empty((0, self.context_length), np.int32)
        is_first = self.documents == 0
        lengths = np.array([len(document) for document in documents], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        flat = np.fromiter(itertools.chain.from_iterable(documents), np.int32, int(lengths.sum()))
        joined_at = starts[1:] if is_first else starts
        tokens = np.insert(flat, joined_at, self.separator_id)
        row_lengths = lengths + 1
        row_lengths[0] -= is_first
        token_rows = np.repeat(np.asarray(rows, np.int64), row_lengths)
        self.documents += len(documents)
        self.document_tokens += len(flat)
        self.separators += len(joined_at)
        return self._cut(tokens, token_rows)

    def close(self) -> None:
        """Write the part's file; the rest that fills no context is dropped."""
        self._raw.close()
        shape = (self.contexts, self.context_length)
        tokens = np.memmap(self._raw_path, np.int32, "r", shape=shape) if self.contexts else np.empty(shape, np.int32)
        first_row = np.concatenate([np.empty(0, np.int64), *self._first_rows])
        contexts_write(self.folder, self.part, tokens, first_row)
        self._raw_path.unlink()

    def _cut(self, tokens: np.ndarray, token_rows: np.ndarray) -> np.ndarray:
        """Join the rest of last time with new tokens, store the complete pieces, keep the new rest."""
        stream = np.concatenate([self._rest, tokens])
        stream_rows = np.concatenate([self._rest_rows, token_rows])
        piece = self.context_length - 1
        count = len(stream) // piece
        used = count * piece
        contexts = np.empty((count, self.context_length), np.int32)
        contexts[:, 0] = self.first_id
        contexts[:, 1:] = stream[:used].reshape(count, piece)
        self._raw.write(contexts.data)
        self._first_rows.append(stream_rows[:used:piece].copy())
        self._rest, self._rest_rows = stream[used:].copy(), stream_rows[used:].copy()
        self.contexts += count
        return contexts
