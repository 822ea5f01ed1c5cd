"""Batches from an activation cache: (seed, step) decides each one, so a resumed run sees what it would have seen.

Shapes: B tokens of the batch, D d_in, E d_out.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workers.engine.activations.cache import ActivationCache, batch_indices
from workers.engine.saes.base import Batch
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import TrainSpec
from workers.engine.training.memory import free_bytes
from workers.engine.training.normalizing import EXPECTED_AVERAGE, Normalizing

RESIDENT_SHARE = 0.5
"""The cache is read into memory once when it takes at most this share of what is free."""
Rows = Callable[[Tensor], Tensor]
"""From indices (B,) to rows (B, …) in bfloat16."""
READ_ROWS = 65_536
MEAN_ROWS = 65_536
"""Rows, spread over the cache, whose mean stands for all where each token is normalised by itself."""


class CachedBatches:
    """Normalised float32 batches on the training device, of activations alone or in pairs with targets."""

    def __init__(self, cache: ActivationCache, spec: TrainSpec, device: str) -> None:
        _check(cache, spec)
        self.cache, self.spec, self.device = cache, spec, device
        pairs = spec.is_transcoder
        self.d_out = cache.d_out if pairs else cache.d_in
        self.normalizing = Normalizing.measured(
            spec.normalize_activations,
            (cache.mean_norm, cache.d_in),
            (cache.target_mean_norm, cache.d_out) if pairs else None,
        )
        self.mean_D, self.target_mean_E = self._means()
        parts = (cache.rows, cache.targets) if pairs else (cache.rows,)
        fits = cache.tokens * (cache.d_in + pairs * self.d_out) * torch.bfloat16.itemsize <= (
            RESIDENT_SHARE * free_bytes("cpu")
        )
        self._parts = tuple(_resident(rows, cache.tokens) for rows in parts) if fits else parts

    def at(self, step: int) -> Batch:
        """The batch of `step`."""
        return self._batch(batch_indices(self.cache.tokens, self.spec.batch_size, self.spec.seed, step))

    def held_out(self) -> Batch | None:
        """Held-out activations; None when an older cache has none, or none were left."""
        if self.cache.held_out is None or not len(self.cache.held_out[0]):
            return None
        x_MD, target_ME = self.cache.held_out
        return self.normalizing.batch(x_MD, target_ME if self.spec.is_transcoder else None, self.device)

    def _batch(self, indices: Tensor) -> Batch:
        x_BD, *targets = (rows(indices) for rows in self._parts)
        return self.normalizing.batch(x_BD, targets[0] if targets else None, self.device)

    def _means(self) -> tuple[Tensor, Tensor]:
        """Mean of the normalised activations (D,), and of the targets (E,), on the device."""
        cache, normalizing = self.cache, self.normalizing
        if normalizing.how in (EXPECTED_AVERAGE, "none"):
            mean_D = cache.mean * normalizing.factor
        else:
            spread = torch.linspace(0, cache.tokens - 1, min(cache.tokens, MEAN_ROWS)).long()
            mean_D = normalizing.inputs(cache.rows(spread)).mean(0)
        mean_D = mean_D.to(self.device)
        if not self.spec.is_transcoder:
            return mean_D, mean_D
        return mean_D, (cache.target_mean * normalizing.target_factor).to(self.device)


def _check(cache: ActivationCache, spec: TrainSpec) -> None:
    if cache.tokens < spec.batch_size:
        raise EngineError(
            f"The activation cache holds {cache.tokens} tokens, fewer than one batch of {spec.batch_size}.",
            "Choose a smaller batch or cache more tokens.",
        )
    if spec.is_transcoder and not cache.is_paired:
        raise EngineError(
            "A transcoder learns from pairs of mlp_in and mlp_out; this activation cache holds one site alone.",
            "Cache mlp_in again with the MLP's output, or train on text.",
            code="cache_not_paired",
        )


def _resident(rows: Rows, tokens: int) -> Rows:
    """`rows`, a way to read a cache, from a copy in memory."""
    first = rows(torch.arange(1))
    whole = torch.empty(tokens, first.shape[1], dtype=torch.bfloat16)
    for start in range(0, tokens, READ_ROWS):
        stop = min(start + READ_ROWS, tokens)
        whole[start:stop] = rows(torch.arange(start, stop))
    return whole.__getitem__
