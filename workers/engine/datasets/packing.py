"""Cuts documents of any length into contexts of one length, without losing count of a token.

Packed: the documents of a part form one stream, a separator between each two of them (if wanted, and unless one of the two
brings it). Windows of P tokens are cut from it, each beginning P - S tokens after the one before, S being the overlap; each
window, behind the first token (BOS, if wanted), is a context of T = P + 1 (or P). A window that begins with the first token
itself, as where BOS and separator are one, gets no second one and takes T tokens. What is left at the end and fills no window
is dropped.

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
        self.separators = self.repeated = self.truncated = self.first_tokens = 0
        self._last_id: int | None = None
        self._rest = np.empty(0, np.int32)
        self._rest_rows = np.empty(0, np.int64)
        self._raw_path = self.folder / f"{part}.tokens"
        self._raw = self._raw_path.open("wb")
        self._first_rows: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []

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
            flat, lengths = self._separated(flat, lengths)
        stream = np.concatenate([self._rest, flat])
        stream_rows = np.concatenate([self._rest_rows, np.repeat(rows, lengths)])
        starts, stop = self._whole_windows(stream)
        if len(starts):
            self.repeated += self.cutting.overlap * (len(starts) if self.contexts else len(starts) - 1)
            sizes = self.cutting.window + self._brings_first(stream, starts)
            self._store(stream, starts, sizes, stream_rows[starts])
        self._rest, self._rest_rows = stream[stop:].copy(), stream_rows[stop:].copy()

    def _separated(self, flat: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The documents with separators before those that need one, and their lengths with them."""
        starts = np.cumsum(lengths) - lengths
        last = -1 if self._last_id is None else self._last_id
        before = np.concatenate([[last], flat[starts[1:] - 1]])
        self._last_id = int(flat[-1])
        is_needed = (before != self.cutting.separator_id) & (flat[starts] != self.cutting.separator_id)
        is_needed[0] &= last >= 0
        self.separators += int(is_needed.sum())
        return np.insert(flat, starts[is_needed], self.cutting.separator_id), lengths + is_needed

    def _whole_windows(self, stream: np.ndarray) -> tuple[np.ndarray, int]:
        """Where the full windows of a stream begin, and where the next one would."""
        window, step = self.cutting.window, self.cutting.step
        if self.cutting.first_id is None or not (stream == self.cutting.first_id).any():
            count = max(0, (len(stream) - window) // step + 1)
            return np.arange(count) * step, count * step
        starts, at = [], 0
        while at < len(stream):
            more = int(stream[at] == self.cutting.first_id)
            if at + window + more > len(stream):
                break
            starts.append(at)
            at += step + more
        return np.array(starts, np.int64), at

    def _brings_first(self, flat: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Which windows begin with the first token themselves."""
        if self.cutting.first_id is None:
            return np.zeros(len(starts), bool)
        return flat[starts] == self.cutting.first_id

    def _add_alone(self, flat: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> None:
        stops = np.cumsum(lengths)
        if self.cutting.first_id is not None and (flat == self.cutting.first_id).any():
            cut = [self._windows_alone(flat, int(stop - length), int(stop)) for stop, length in zip(stops, lengths)]
            counts = np.array([len(windows) for windows in cut])
            starts, sizes = np.array([window for windows in cut for window in windows], np.int64).T
        else:
            counts, starts, sizes = self._even_windows_alone(lengths, stops)
        if self.cutting.is_truncating:
            self.truncated += int((lengths - sizes).sum())
        else:
            self.repeated += int(self.cutting.overlap * (counts - 1).sum())
        self._store(flat, starts, sizes, np.repeat(rows, counts))

    def _windows_alone(self, flat: np.ndarray, at: int, stop: int) -> list[tuple[int, int]]:
        """(start, size) of the windows of one document in which the first token occurs."""
        windows = []
        while True:
            size = min(self.cutting.window + int(flat[at] == self.cutting.first_id), stop - at)
            windows.append((at, size))
            if self.cutting.is_truncating or at + size >= stop:
                return windows
            at += size - self.cutting.overlap

    def _even_windows_alone(self, lengths: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Windows of each document, where they begin, and their sizes, when none begins with the first token."""
        window, step = self.cutting.window, self.cutting.step
        counts = np.ones_like(lengths)
        if not self.cutting.is_truncating:
            counts += np.maximum(-(-(lengths - window) // step), 0)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        starts = np.repeat(stops - lengths, counts) + place * step
        return counts, starts, np.minimum(np.repeat(stops, counts) - starts, window)

    def _store(self, flat: np.ndarray, starts: np.ndarray, sizes: np.ndarray, first_rows: np.ndarray) -> None:
        """Contexts from the windows of `flat` that begin at `starts` (n,) and have `sizes` (n,) tokens."""
        gets_first = ~self._brings_first(flat, starts) & (self.cutting.first_id is not None)
        contexts = np.full((len(starts), self.cutting.context_length), self.cutting.fill_id, np.int32)
        place = np.arange(self.cutting.context_length) - gets_first[:, None]
        is_token = (place >= 0) & (place < sizes[:, None])
        contexts[is_token] = flat[(starts[:, None] + place)[is_token]]
        if self.cutting.first_id is not None:
            contexts[:, 0] = self.cutting.first_id
        lengths = (sizes + gets_first).astype(np.int32)
        self._raw.write(contexts.data)
        self._first_rows.append(first_rows.astype(np.int64))
        self._lengths.append(lengths)
        self.contexts += len(contexts)
        self.tokens += int(lengths.sum())
        self.first_tokens += int(gets_first.sum())
