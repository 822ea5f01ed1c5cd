"""An activation cache on disk, read memory-mapped, and the order in which a training reads it.

    shard-00000.safetensors …  `activations` (rows, D) bfloat16, all shards but the last equally long
    statistics.safetensors     `mean` (D,) float32
    cache.json                 the numbers of ActivationCacheResult

Shapes: N cached tokens, B rows asked for, D d_in.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from workers.engine.specs.activations import ActivationCacheResult
from workers.engine.specs.errors import BadArtifact, SpecInvalid

SHARD_NAME = "shard-{:05d}.safetensors"
STATISTICS_NAME = "statistics.safetensors"
NUMBERS_NAME = "cache.json"
EPOCH_STRIDE = 2**31
"""Seeds are below it, so no two pairs of seed and epoch give the same generator."""


@dataclass(frozen=True)
class ActivationCache:
    """A cache that is open for reading. Its rows stay on disk (or in the system's page cache) until asked for."""

    tokens: int
    d_in: int
    mean: Tensor
    """(D,) float32: mean of all cached activations."""
    mean_norm: float
    median_norm: float
    sink_threshold: float
    shards: tuple[Tensor, ...]
    """Memory-mapped, (rows, D) bfloat16 each."""

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Map the cache in `folder`. Raises BadArtifact when a file is missing, cut short or of another form."""
        folder = Path(folder)
        try:
            numbers = ActivationCacheResult.from_json(json.loads((folder / NUMBERS_NAME).read_text("utf-8")))
            mean = load_file(folder / STATISTICS_NAME)["mean"]
            # load_file maps a file into memory; pages are read when rows are touched.
            shards = tuple(load_file(path)["activations"] for path in sorted(folder.glob("shard-*.safetensors")))
        except (OSError, ValueError, KeyError, SafetensorError, SpecInvalid) as error:
            raise BadArtifact(
                f"The activation cache cannot be read: {error}", "Cache the activations again."
            ) from error
        if sum(map(len, shards)) != numbers.tokens or any(shard.shape[1] != numbers.d_in for shard in shards):
            raise BadArtifact("Shards of the activation cache are missing or changed.", "Cache the activations again.")
        return cls(
            tokens=numbers.tokens,
            d_in=numbers.d_in,
            mean=mean,
            mean_norm=numbers.mean_norm,
            median_norm=numbers.median_norm,
            sink_threshold=numbers.sink_threshold,
            shards=shards,
        )

    def rows(self, indices: Tensor) -> Tensor:
        """The activations (B, D) in bfloat16 at `indices` (B,) int64 on the CPU, in their order.

        Costs one copy of each row, about a microsecond when its page is in memory, else one random read of the disk;
        the rows are visited in the order in which they lie.
        """
        if len(self.shards) == 1:
            return self.shards[0].index_select(0, indices)
        rows_per_shard = len(self.shards[0])
        order = indices.argsort()
        ordered = indices[order]
        borders = torch.searchsorted(ordered, torch.arange(1, len(self.shards)) * rows_per_shard).tolist()
        out_BD = torch.empty(len(indices), self.d_in, dtype=torch.bfloat16)
        for number, (start, stop) in enumerate(zip([0, *borders], [*borders, len(indices)], strict=True)):
            if start < stop:
                local = ordered[start:stop] - number * rows_per_shard
                out_BD[order[start:stop]] = self.shards[number].index_select(0, local)
        return out_BD


def batch_indices(tokens: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Indices (batch_size,) int64 of the batch that training step `step` (from 0) sees: a function of its arguments alone.

    The cache is read epoch after epoch, each in a random order of its own. Batches run on over the border between epochs,
    so every token is seen once in each.
    """
    pieces, place, left = [], step * batch_size, batch_size
    while left:
        epoch, start = divmod(place, tokens)
        piece = _epoch_order(tokens, seed, epoch)[start : start + left]
        pieces.append(piece)
        place, left = place + len(piece), left - len(piece)
    return torch.cat(pieces)


@lru_cache(maxsize=2)
def _epoch_order(tokens: int, seed: int, epoch: int) -> Tensor:
    """The permutation (tokens,) of one epoch; the last two stay in memory, 8 bytes a token."""
    return torch.randperm(tokens, generator=torch.Generator().manual_seed(epoch * EPOCH_STRIDE + seed))
