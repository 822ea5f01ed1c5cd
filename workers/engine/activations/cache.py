"""An activation cache on disk, read memory-mapped, and the order in which a training reads it.

    shard-00000.safetensors …  `activations` (rows, D) bfloat16, all shards but the last equally long
    held-out.safetensors       `activations` of held-out contexts; older caches lack it
    statistics.safetensors     `mean` (D,) float32
    cache.json                 the numbers of ActivationCacheResult

A paired cache has `targets` (rows, E) beside every `activations`, and `target_mean` (E,).

Shapes: N cached tokens, B rows asked for, D d_in, E d_out.
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
HELD_OUT_NAME = "held-out.safetensors"
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
    sha256: str
    """Over all rows."""
    shards: tuple[Tensor, ...]
    """Memory-mapped, (rows, D) bfloat16 each."""
    held_out: tuple[Tensor, Tensor | None] | None
    """Held-out activations (M, D) bfloat16 and their targets (M, E), memory-mapped; None in an older cache."""
    d_out: int | None = None
    """Width of the targets of a paired cache."""
    target_mean: Tensor | None = None
    """(E,) float32."""
    target_mean_norm: float | None = None
    excluded_tokens: tuple[int, ...] = ()
    """Ids of the special tokens that were left out."""
    lm_dtype: str = ""
    quantization: str = ""
    """What the language model computed in and how it was held; "" where the cache does not say."""
    target_shards: tuple[Tensor, ...] = ()
    """(rows, E) bfloat16 each; none unless the cache is paired."""

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Map the cache in `folder`. Raises BadArtifact when a file is missing, cut short or of another form."""
        folder = Path(folder)
        try:
            numbers = ActivationCacheResult.from_json(json.loads((folder / NUMBERS_NAME).read_text("utf-8")))
            statistics = load_file(folder / STATISTICS_NAME)
            # load_file maps a file into memory; pages are read when rows are touched.
            shards = [load_file(path) for path in sorted(folder.glob("shard-*.safetensors"))]
            cache = cls(
                tokens=numbers.tokens,
                d_in=numbers.d_in,
                mean=statistics["mean"],
                mean_norm=numbers.mean_norm,
                median_norm=numbers.median_norm,
                sink_threshold=numbers.sink_threshold,
                sha256=numbers.activations_sha256,
                shards=tuple(shard["activations"] for shard in shards),
                held_out=_held_out(folder / HELD_OUT_NAME, is_paired=numbers.d_out is not None),
                d_out=numbers.d_out,
                target_mean=statistics["target_mean"] if numbers.d_out else None,
                target_mean_norm=numbers.target_mean_norm,
                excluded_tokens=numbers.excluded_tokens,
                lm_dtype=numbers.lm_dtype,
                quantization=numbers.quantization,
                target_shards=tuple(shard["targets"] for shard in shards) if numbers.d_out else (),
            )
        except (OSError, ValueError, KeyError, SafetensorError, SpecInvalid) as error:
            raise BadArtifact(
                f"The activation cache cannot be read: {error}", "Cache the activations again."
            ) from error
        cache._check()
        return cache

    @property
    def is_paired(self) -> bool:
        return self.d_out is not None

    def _check(self) -> None:
        """Raise BadArtifact unless all rows are there, as wide as the numbers say."""
        parts = [(self.shards, self.d_in)] + ([(self.target_shards, self.d_out)] if self.is_paired else [])
        for shards, width in parts:
            if sum(map(len, shards)) != self.tokens or any(shard.shape[1] != width for shard in shards):
                raise BadArtifact(
                    "Shards of the activation cache are missing or changed.", "Cache the activations again."
                )

    def rows(self, indices: Tensor) -> Tensor:
        """The activations (B, D) in bfloat16 at `indices` (B,) int64 on the CPU, in their order.

        Costs one copy of each row, about a microsecond when its page is in memory, else one random read of the disk;
        the rows are visited in the order in which they lie.
        """
        return _gather(self.shards, indices)

    def targets(self, indices: Tensor) -> Tensor:
        """The targets (B, E) of a paired cache, as `rows` gives the activations."""
        return _gather(self.target_shards, indices)


def _held_out(path: Path, *, is_paired: bool) -> tuple[Tensor, Tensor | None] | None:
    if not path.exists():
        return None
    tensors = load_file(path)
    return tensors["activations"], tensors["targets"] if is_paired else None


def _gather(shards: tuple[Tensor, ...], indices: Tensor) -> Tensor:
    """Rows across shards; all but the last are equally long."""
    if len(shards) == 1:
        return shards[0].index_select(0, indices)
    rows_per_shard = len(shards[0])
    order = indices.argsort()
    ordered = indices[order]
    borders = torch.searchsorted(ordered, torch.arange(1, len(shards)) * rows_per_shard).tolist()
    out = torch.empty(len(indices), shards[0].shape[1], dtype=torch.bfloat16)
    for number, (start, stop) in enumerate(zip([0, *borders], [*borders, len(indices)], strict=True)):
        if start < stop:
            local = ordered[start:stop] - number * rows_per_shard
            out[order[start:stop]] = shards[number].index_select(0, local)
    return out


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
