"""Batches of activations for training: (seed, step) decides each one, so a resumed run sees what it would have seen.

Shapes: B tokens of the batch, D d_in.
"""

import torch
from torch import Tensor

from workers.engine.activations.cache import ActivationCache, batch_indices
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import TrainSpec
from workers.engine.training.memory import free_bytes

RESIDENT_SHARE = 0.5
"""The cache is read into memory once when it takes at most this share of what is free."""
READ_ROWS = 65_536


class Batches:
    """Normalised float32 batches on the training device. `factor` multiplies every activation."""

    def __init__(self, cache: ActivationCache, spec: TrainSpec, device: str) -> None:
        if cache.tokens < spec.batch_size:
            raise EngineError(
                f"The activation cache holds {cache.tokens} tokens, fewer than one batch of {spec.batch_size}.",
                "Choose a smaller batch or cache more tokens.",
            )
        self.cache, self.spec, self.device = cache, spec, device
        self.factor = _factor(cache, spec)
        self.mean_D = cache.mean * self.factor
        """The mean of the normalised activations, over the whole cache."""
        self._resident = _read_all(cache) if _fits(cache) else None

    def at(self, step: int) -> Tensor:
        """The batch (B, D) of `step`."""
        indices = batch_indices(self.cache.tokens, self.spec.batch_size, self.spec.seed, step)
        rows_BD = self.cache.rows(indices) if self._resident is None else self._resident[indices]
        return rows_BD.to(self.device).float() * self.factor


def _factor(cache: ActivationCache, spec: TrainSpec) -> float:
    """expected_average_only_in: the mean norm becomes √d_in."""
    if spec.normalize_activations == "none":
        return 1.0
    if not cache.mean_norm > 0:
        raise EngineError(
            f"The mean norm of the cached activations is {cache.mean_norm}: they cannot be normalised.",
            "Cache the activations again; the language model may produce invalid numbers at this hook site.",
        )
    return cache.d_in**0.5 / cache.mean_norm


def _fits(cache: ActivationCache) -> bool:
    return cache.tokens * cache.d_in * torch.bfloat16.itemsize <= RESIDENT_SHARE * free_bytes("cpu")


def _read_all(cache: ActivationCache) -> Tensor:
    whole = torch.empty(cache.tokens, cache.d_in, dtype=torch.bfloat16)
    for start in range(0, cache.tokens, READ_ROWS):
        stop = min(start + READ_ROWS, cache.tokens)
        whole[start:stop] = cache.rows(torch.arange(start, stop))
    return whole
