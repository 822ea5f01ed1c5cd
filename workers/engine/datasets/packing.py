"""Cuts documents of any length into contexts of one length, without losing count of a token.

Packed: the documents of a part form one stream, a separator between each two of them (if wanted). Windows of P tokens are
cut from it, each beginning P - S tokens after the one before, S being the overlap; each window, behind the first token
(BOS, if wanted), is a context of T = P + 1 (or P). What is left at the end and fills no window is dropped.

One document per context: windows are cut from each document alone. The last one of a document ends with it, so contexts
are ragged: `lengths` says how many of the T places are tokens, those behind are filled with the separator and mean nothing.

    document tokens + separators + first tokens + repeated = stored + dropped + truncated

Shapes: N contexts, T tokens in a context.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.engine.datasets.contexts import Part, contexts_write


@dataclass(frozen=True)
class Cutting:
    """How contexts are cut: lengths in tokens; `first_id` None: contexts begin with text, `separator_id` None: no
    token between documents; `fill_id` stands behind ragged contexts."""

    context_length: int
    first_id: int | None
    separator_id: int | None
    fill_id: int = 0
    overlap: int = 0
    is_packed: bool = True
    is_truncating: bool = False

    @property
    def window(self) -> int:
        """Tokens of text in a full context."""
        return self.context_length - (self.first_id is not None)

    @property
    def step(self) -> int:
        """Tokens from the beginning of one window to the next."""
        return self.window - self.overlap


class ContextPacker:
    """One part in the making: `add` documents in order, then `close`. Tokens wait on disk, not in memory."""

    def __init__(self, folder: str | Path, part: Part, cutting: Cutting) -> None:
        self.folder, self.part, self.cutting = Path(folder), part, cutting
        self.contexts = self.tokens = self.documents = self.document_tokens = 0
        self.separators = self.repeated = self.truncated = 0
        self._rest = np.empty(0, np.int32)
        self._rest_rows = np.empty(0, np.int64)
        self._raw_path = self.folder / f"{part}.tokens"
        self._raw = self._raw_path.open("wb")
        self._first_rows: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []

    @property
    def first_tokens(self) -> int:
        """First tokens put before the stored contexts."""
        return self.contexts if self.cutting.first_id is not None else 0

    @property
    def dropped(self) -> int:
        """Tokens that fill no context; those that overlap with the last one are stored already."""
        return len(self._rest) - (self.cutting.overlap if self.contexts and self.cutting.is_packed else 0)

    def add(self, documents: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """Append documents (none of them empty) that stand in dataset `rows`.

        A separator belongs to the row of the document behind it.
        """
        if not documents:
            return
        lengths = np.array([len(document) for document in documents], np.int64)
        flat = np.fromiter(itertools.chain.from_iterable(documents), np.int32, int(lengths.sum()))
        rows = np.asarray(rows, np.int64)
        if self.cutting.is_packed:
            self._add_packed(flat, lengths, rows)
        else:
            self._add_alone(flat, lengths, rows)
        self.documents += len(documents)
        self.document_tokens += len(flat)

    def close(self) -> None:
        """Write the part's file; the rest that fills no context is dropped."""
        self._raw.close()
        shape = (self.contexts, self.cutting.context_length)
        tokens = np.memmap(self._raw_path, np.int32, "r", shape=shape) if self.contexts else np.empty(shape, np.int32)
        contexts_write(
            self.folder,
            self.part,
            tokens,
            np.concatenate([np.empty(0, np.int64), *self._first_rows]),
            np.concatenate([np.empty(0, np.int32), *self._lengths]),
        )
        self._raw_path.unlink()

    def _add_packed(self, flat: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> None:
        if self.cutting.separator_id is not None:
            is_first = self.documents == 0
            starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
            joined_at = starts[1:] if is_first else starts
            flat = np.insert(flat, joined_at, self.cutting.separator_id)
            lengths = lengths + 1
            lengths[0] -= is_first
            self.separators += len(joined_at)
        stream = np.concatenate([self._rest, flat])
        stream_rows = np.concatenate([self._rest_rows, np.repeat(rows, lengths)])
        window, step = self.cutting.window, self.cutting.step
        count = max(0, (len(stream) - window) // step + 1)
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(stream, window)[: count * step : step]
            self.repeated += self.cutting.overlap * (count if self.contexts else count - 1)
            self._store(windows, np.full(count, window), stream_rows[: count * step : step])
        self._rest, self._rest_rows = stream[count * step :].copy(), stream_rows[count * step :].copy()

    def _add_alone(self, flat: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> None:
        window, step = self.cutting.window, self.cutting.step
        counts = np.ones_like(lengths)
        if self.cutting.is_truncating:
            self.truncated += int(np.maximum(lengths - window, 0).sum())
        else:
            counts += np.maximum(-(-(lengths - window) // step), 0)
            self.repeated += int(self.cutting.overlap * (counts - 1).sum())
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        starts = np.repeat(np.cumsum(lengths) - lengths, counts) + place * step
        sizes = np.minimum(np.repeat(np.cumsum(lengths), counts) - starts, window)
        windows = np.full((len(starts), window), self.cutting.fill_id, np.int32)
        is_token = np.arange(window) < sizes[:, None]
        windows[is_token] = flat[(starts[:, None] + np.arange(window))[is_token]]
        self._store(windows, sizes, np.repeat(rows, counts))

    def _store(self, windows: np.ndarray, sizes: np.ndarray, first_rows: np.ndarray) -> None:
        """Contexts from windows (n, P) of which `sizes` (n,) places are tokens."""
        has_first = self.cutting.first_id is not None
        contexts = np.empty((len(windows), self.cutting.context_length), np.int32)
        if has_first:
            contexts[:, 0] = self.cutting.first_id
        contexts[:, int(has_first) :] = windows
        lengths = (sizes + has_first).astype(np.int32)
        self._raw.write(contexts.data)
        self._first_rows.append(first_rows.astype(np.int64))
        self._lengths.append(lengths)
        self.contexts += len(contexts)
        self.tokens += int(lengths.sum())
