"""Write activations to disk as they come: safetensors shards of bounded size, with running statistics.

Shapes: B rows added, D d_in.
"""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from workers.engine.activations.cache import SHARD_NAME, STATISTICS_NAME

SHARD_BYTES = 256 * 2**20


class ShardWriter:
    """Collects rows in one buffer of a shard's size; that buffer is all the memory it takes."""

    def __init__(self, folder: str | Path, d_in: int, *, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder = Path(folder)
        rows = max(1, shard_bytes // (d_in * torch.bfloat16.itemsize))
        self._buffer = torch.empty(rows, d_in, dtype=torch.bfloat16)
        self._filled = 0
        self._digest = hashlib.sha256()
        self._sum_D = torch.zeros(d_in, dtype=torch.float64)
        self._norm_sum = 0.0
        self.tokens = 0
        self.shards = 0

    def add(self, x_BD: Tensor) -> None:
        """Append rows; every full buffer goes to disk."""
        x_BD = x_BD.to("cpu", torch.bfloat16)
        # Statistics are those of the rounded values that a training will read.
        self._sum_D += x_BD.float().sum(0, dtype=torch.float64)
        self._norm_sum += x_BD.float().norm(dim=-1).sum(dtype=torch.float64).item()
        self.tokens += len(x_BD)
        while len(x_BD):
            room = len(self._buffer) - self._filled
            taken, x_BD = x_BD[:room], x_BD[room:]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            if self._filled == len(self._buffer):
                self._flush()

    def close(self) -> None:
        """Write what is left, and the mean of all rows."""
        if self._filled:
            self._flush()
        save_file({"mean": (self._sum_D / max(self.tokens, 1)).float()}, self.folder / STATISTICS_NAME)

    @property
    def mean_norm(self) -> float:
        """Mean Euclidean norm of all rows added."""
        return self._norm_sum / max(self.tokens, 1)

    @property
    def sha256(self) -> str:
        """Over the rows of all written shards, in order; independent of where shards begin."""
        return self._digest.hexdigest()

    def _flush(self) -> None:
        rows = self._buffer[: self._filled]
        self._digest.update(rows.view(torch.uint8).numpy())
        save_file({"activations": rows}, self.folder / SHARD_NAME.format(self.shards))
        self.shards += 1
        self._filled = 0
