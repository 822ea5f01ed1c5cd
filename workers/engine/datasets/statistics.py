"""Counts over a tokenization in the making: tokens by id, documents by length, documents that were there before.

Everything is gathered batch by batch; memory is bounded by the vocabulary and the longest document. Hashes of documents
wait on disk, 8 bytes each, and are sorted there at the end: two of a billion different documents collide with a chance
of 3 %, so `duplicates` is exact in practice.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workers.engine.tensor_file import tensor_file_create

HASH_BYTES = 8


class Statistics:
    """`add` the kept tokens of each document with its hash, then `close` writes statistics.safetensors."""

    def __init__(self, folder: str | Path, vocab_size: int) -> None:
        self.folder = Path(folder)
        self.token_counts = np.zeros(vocab_size, np.int64)
        self.length_counts = np.zeros(1, np.int64)
        self.duplicates = 0
        self._hashes_path = self.folder / "documents.hashes"
        self._hashes = self._hashes_path.open("wb")

    @property
    def distinct_tokens(self) -> int:
        """Ids that occur at least once."""
        return int((self.token_counts > 0).sum())

    def add(self, documents: Sequence[Sequence[int]], hashes: Sequence[bytes]) -> None:
        """Count documents; `hashes` are of their texts, of which HASH_BYTES bytes are used."""
        lengths = np.array([len(document) for document in documents], np.int64)
        flat = np.fromiter(itertools.chain.from_iterable(documents), np.int64, int(lengths.sum()))
        self.token_counts = _sum(self.token_counts, np.bincount(flat))
        self.length_counts = _sum(self.length_counts, np.bincount(lengths))
        self._hashes.write(b"".join(digest[:HASH_BYTES] for digest in hashes))

    def close(self) -> None:
        """Write the file and count the duplicates."""
        self._hashes.close()
        if self._hashes_path.stat().st_size:
            hashes = np.memmap(self._hashes_path, np.uint64, "r+")
            hashes.sort()
            self.duplicates = int((hashes[1:] == hashes[:-1]).sum())
        self._hashes_path.unlink()
        found = {"token_counts": self.token_counts, "length_counts": self.length_counts}
        maps = tensor_file_create(
            self.folder / "statistics.safetensors", {name: ("int64", counts.shape) for name, counts in found.items()}
        )
        for name, counts in found.items():
            maps[name][...] = counts


def _sum(counts: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Counts of both, as long as the longer: a tokenizer may know ids past its stated size."""
    if len(more) > len(counts):
        counts = np.pad(counts, (0, len(more) - len(counts)))
    counts[: len(more)] += more
    return counts
