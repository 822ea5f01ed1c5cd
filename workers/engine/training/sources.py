"""Where a training's activations come from: one interface, whatever lies behind it.

Shapes: B tokens of the batch, D d_in, E d_out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workers.engine.activations.cache import ActivationCache, batch_indices
from workers.engine.progress import Progress
from workers.engine.saes.base import Batch
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.batches import CachedBatches


@dataclass(frozen=True)
class SiteActivations:
    """What is known of one hook site before training; means are of normalised activations."""

    hook_site: HookSite
    d_in: int
    d_out: int
    factor: float
    target_factor: float
    mean_D: Tensor
    target_mean_E: Tensor
    sink_threshold: float | None


class Source(ABC):
    """A stream of batches for every hook site of a training."""

    sites: tuple[SiteActivations, ...]

    @abstractmethod
    def batches(self, step: int) -> tuple[Batch, ...]:
        """One batch for each hook site, normalised; called in growing order of step."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold so that the next batches come out bit-identical."""

    @abstractmethod
    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Go on from what `tensors` returned before `step`."""

    @abstractmethod
    def effective(self) -> dict[str, Any]:
        """JSON values that must be equal when a run resumes."""

    @abstractmethod
    def epochs(self, steps_done: int) -> float:
        """How often the activations were read."""

    @abstractmethod
    def held_out(self, site: int) -> Batch | None:
        """Normalised held-out activations of a hook site."""

    def origin(self, site: int, step: int, row: int) -> str:
        """Where a row of an earlier batch came from, in words ("context 12, position 7"); "" when that is not known."""
        return ""


class CacheSource(Source):
    """An activation cache. Batches follow from (seed, step) alone, so a checkpoint need not hold anything."""

    def __init__(self, spec: TrainSpec, inputs: TrainInputs) -> None:
        self._spec = spec
        self._cache = ActivationCache.open(inputs.cache_dir)
        self._batches = batches = CachedBatches(self._cache, spec, inputs.device)
        self.sites = (
            SiteActivations(
                hook_site=HookSite.parse(inputs.hook_site),
                d_in=self._cache.d_in,
                d_out=batches.d_out,
                factor=batches.normalizing.factor,
                target_factor=batches.normalizing.target_factor,
                mean_D=batches.mean_D,
                target_mean_E=batches.target_mean_E,
                sink_threshold=inputs.sink_threshold,
            ),
        )

    def batches(self, step: int) -> tuple[Batch, ...]:
        return (self._batches.at(step),)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Nothing to take up."""

    def effective(self) -> dict[str, Any]:
        normalizing = self._batches.normalizing
        return {
            "source": "cache",
            "cache_tokens": self._cache.tokens,
            "cache_sha256": self._cache.sha256,
            "factor": normalizing.factor,
            "target_factor": normalizing.target_factor,
        }

    def epochs(self, steps_done: int) -> float:
        return steps_done * self._spec.batch_size / self._cache.tokens

    def held_out(self, site: int) -> Batch | None:
        return self._batches.held_out()

    def origin(self, site: int, step: int, row: int) -> str:
        index = batch_indices(self._cache.tokens, self._spec.batch_size, self._spec.seed, step)[row]
        return f"row {int(index)} of the activation cache"


def source_open(spec: TrainSpec, inputs: TrainInputs, progress: Progress) -> Source:
    """The source that `spec` and `inputs` name."""
    return CacheSource(spec, inputs)
