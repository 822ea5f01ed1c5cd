"""Write activations to disk as they come: safetensors shards of bounded size, with running statistics.

A paired cache has targets beside the activations, row by row, in the same files.

Shapes: B rows added, D d_in, E d_out.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from workers.engine.activations.cache import HELD_OUT_NAME, SHARD_NAME, STATISTICS_NAME

SHARD_BYTES = 256 * 2**20
NAMES = ("activations", "targets")
MEANS = ("mean", "target_mean")
Rows = tuple[Tensor, ...]
"""Activations (B, D), and targets (B, E) where the cache is paired."""


@dataclass
class _Part:
    """The activations, or the targets: what is not yet on disk, and statistics of all."""

    buffer: Tensor
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    norm_sum: float = 0.0

    def __post_init__(self) -> None:
        self.sum_D = torch.zeros(self.buffer.shape[1], dtype=torch.float64)

    def count(self, x_BD: Tensor) -> None:
        # Statistics are those of the rounded values that a training will read.
        x_BD = x_BD.float()
        self.sum_D += x_BD.sum(0, dtype=torch.float64)
        self.norm_sum += x_BD.norm(dim=-1).sum(dtype=torch.float64).item()


class ShardWriter:
    """Collects rows in buffers of a shard's size together; they are all the memory it takes."""

    def __init__(
        self, folder: str | Path, d_in: int, d_out: int | None = None, *, shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder = Path(folder)
        widths = (d_in,) if d_out is None else (d_in, d_out)
        rows = max(1, shard_bytes // (sum(widths) * torch.bfloat16.itemsize))
        self._parts = tuple(_Part(torch.empty(rows, width, dtype=torch.bfloat16)) for width in widths)
        self._capacity, self._filled = rows, 0
        self.tokens = 0
        self.shards = 0

    def add(self, *rows: Tensor) -> None:
        """Append activations, and as many targets to a paired cache; every full buffer goes to disk."""
        rows = tuple(x_BD.to("cpu", torch.bfloat16) for x_BD in rows)
        for part, x_BD in zip(self._parts, rows, strict=True):
            part.count(x_BD)
        count, start = len(rows[0]), 0
        self.tokens += count
        while start < count:
            stop = min(count, start + self._capacity - self._filled)
            for part, x_BD in zip(self._parts, rows):
                part.buffer[self._filled : self._filled + stop - start] = x_BD[start:stop]
            self._filled += stop - start
            start = stop
            if self._filled == self._capacity:
                self._flush()

    def close(self) -> None:
        """Write what is left, and the means of all rows."""
        if self._filled:
            self._flush()
        means = {name: (part.sum_D / max(self.tokens, 1)).float() for name, part in zip(MEANS, self._parts)}
        save_file(means, self.folder / STATISTICS_NAME)

    @property
    def mean_norms(self) -> tuple[float, ...]:
        """Mean Euclidean norm of all activations added, and of all targets of a paired cache."""
        return tuple(part.norm_sum / max(self.tokens, 1) for part in self._parts)

    @property
    def sha256(self) -> str:
        """Over the rows of all written shards, in order; independent of where shards begin. Of pairs: over both hashes."""
        digests = [part.digest.hexdigest() for part in self._parts]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def _flush(self) -> None:
        tensors = {name: part.buffer[: self._filled] for name, part in zip(NAMES, self._parts)}
        for part, rows in zip(self._parts, tensors.values()):
            part.digest.update(rows.view(torch.uint8).numpy())
        save_file(tensors, self.folder / SHARD_NAME.format(self.shards))
        self.shards += 1
        self._filled = 0


def held_out_write(folder: str | Path, batches: Iterable[Rows]) -> int:
    """Write held-out.safetensors from batches of rows; returns how many. Writes nothing when there are none."""
    parts = [torch.cat([x.to("cpu", torch.bfloat16) for x in part]) for part in zip(*batches, strict=True)]
    if not parts:
        return 0
    save_file(dict(zip(NAMES, parts)), Path(folder) / HELD_OUT_NAME)
    return len(parts[0])
