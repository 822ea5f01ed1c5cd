"""A tokenization on disk: two safetensors files of fixed-length contexts, read memory-mapped.

The folder holds train.safetensors and heldout.safetensors. Each has `tokens` (N, T) int32, `first_row` (N,) int64, the
dataset row in which the context begins, and `lengths` (N,) int32: places from there on are no tokens, and no reader may
count them. Packed contexts are all full; files of older tokenizations have no `lengths` and are full too.

Shapes: N contexts, T tokens in a context.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from workers.engine.specs.errors import BadArtifact
from workers.engine.tensor_file import tensor_file_create, tensor_file_open

Part = Literal["train", "heldout"]
PARTS: tuple[Part, ...] = ("train", "heldout")
"""Both parts of a tokenization, in the order in which readers of the whole take them."""
COPIED_CONTEXTS = 8192
"""Contexts copied to disk at once."""


@dataclass(frozen=True)
class Contexts:
    """One part of a tokenization. Slices of `tokens` are read from disk when they are touched."""

    tokens: np.ndarray
    """(N, T) int32, memory-mapped, read-only."""
    first_row: np.ndarray
    """(N,) int64: dataset row in which each context begins."""
    lengths: np.ndarray
    """(N,) int32: tokens in each context; the places behind mean nothing."""

    @classmethod
    def open(cls, folder: str | Path, part: Part) -> Self:
        """Map one part of the tokenization in `folder`. Raises BadArtifact when it is missing, cut short or foreign."""
        path = contexts_path(folder, part)
        tensors = tensor_file_open(path)
        tokens, first_row = tensors.get("tokens"), tensors.get("first_row")
        if tokens is None or first_row is None:
            raise BadArtifact(f"{path.name} is no tokenization: it lacks tokens or first_row.", "Tokenize again.")
        if tokens.dtype != np.int32 or tokens.ndim != 2 or first_row.shape != tokens.shape[:1]:
            raise BadArtifact(f"{path.name} holds its tokens in an unexpected form.", "Tokenize again.")
        lengths = tensors.get("lengths", np.full(len(tokens), tokens.shape[1], np.int32))
        return cls(tokens=tokens, first_row=first_row, lengths=lengths)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, part: slice) -> Self:
        """Some of the contexts, in order."""
        return type(self)(tokens=self.tokens[part], first_row=self.first_row[part], lengths=self.lengths[part])

    def drawn(self, tokens: int, seed: int) -> Self:
        """Contexts drawn by the seed over the whole part until they hold `tokens` tokens together, all when they hold fewer,
        in the order of the draw: any number from the first on is a sample too."""
        order_N = np.random.default_rng(seed).permutation(len(self))
        reached = int(np.searchsorted(np.cumsum(self.lengths[order_N], dtype=np.int64), tokens, side="left")) + 1
        chosen = order_N[:reached]
        return type(self)(self.tokens[chosen], self.first_row[chosen], self.lengths[chosen])

    @property
    def token_count(self) -> int:
        """Tokens in all contexts."""
        return int(self.lengths.sum())

    @property
    def is_token(self) -> np.ndarray:
        """(N, T) bool: False for places behind a context's last token."""
        return np.arange(self.context_length) < self.lengths[:, None]

    def count_within(self, tokens: int) -> int:
        """How many contexts from the first on hold at most `tokens` tokens together."""
        return int(np.searchsorted(np.cumsum(self.lengths, dtype=np.int64), tokens, side="right"))

    def count_reaching(self, tokens: int) -> int:
        """How many contexts from the first on hold at least `tokens` tokens together; all when they hold fewer."""
        reached = int(np.searchsorted(np.cumsum(self.lengths, dtype=np.int64), tokens, side="left"))
        return min(reached + 1, len(self))

    @property
    def context_length(self) -> int:
        return int(self.tokens.shape[1])


def contexts_path(folder: str | Path, part: Part) -> Path:
    """Where a part of the tokenization lies."""
    return Path(folder) / f"{part}.safetensors"


def contexts_write(
    folder: str | Path, part: Part, tokens: np.ndarray, first_row: np.ndarray, lengths: np.ndarray | None = None
) -> Path:
    """Write one part: `tokens` (N, T) any integer type, `first_row` (N,), `lengths` (N,), None when all are full.

    Memory-mapped input stays on disk.
    """
    path = contexts_path(folder, part)
    shapes = {
        "tokens": ("int32", tokens.shape),
        "first_row": ("int64", first_row.shape),
        "lengths": ("int32", first_row.shape),
    }
    maps = tensor_file_create(path, shapes)
    maps["first_row"][...] = first_row
    maps["lengths"][...] = tokens.shape[1] if lengths is None else lengths
    for start in range(0, len(tokens), COPIED_CONTEXTS):
        maps["tokens"][start : start + COPIED_CONTEXTS] = tokens[start : start + COPIED_CONTEXTS]
    return path
