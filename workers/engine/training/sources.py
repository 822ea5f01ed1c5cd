"""Where a training's activations come from: one interface, whatever lies behind it.

Shapes: B tokens of the batch, D d_in, E d_out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.activations.cache import ActivationCache, batch_indices
from workers.engine.activations.context_order import ContextOrder
from workers.engine.language_models.loading import quantization_resolve
from workers.engine.progress import Progress
from workers.engine.saes.base import Batch
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.batches import CachedBatches
from workers.engine.training.blocks import Blocks
from workers.engine.training.calibrating import Calibration, calibration_before
from workers.engine.training.text_reading import TextReader, stop_if_asked
from workers.engine.training.text_stream import TextStream


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
    mean_norm: float
    """Of the normalised activations."""
    sink_threshold: float | None
    excluded_tokens: tuple[int, ...] = ()
    """Ids of special tokens that are left out."""


class Source(ABC):
    """A stream of batches for every hook site of a training."""

    sites: tuple[SiteActivations, ...]
    model: PreTrainedModel | None = None
    """The language model, where the source reads text."""

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
                mean_norm=batches.normalizing.mean_norm,
                sink_threshold=inputs.sink_threshold,
                excluded_tokens=self._cache.excluded_tokens,
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
            "excluded_tokens": list(self._cache.excluded_tokens),
            "lm_dtype": self._cache.lm_dtype,
            "quantization": self._cache.quantization,
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


class TextSource(Source):
    """Texts through the language model, all hook sites in one forward pass."""

    def __init__(self, spec: TrainSpec, inputs: TrainInputs, progress: Progress) -> None:
        self._spec, self._inputs, self._progress = spec, inputs, progress
        self._reader = TextReader(spec, inputs, progress)
        self.model = self._reader.model
        self._held_out: tuple[Tensor, ...] | None = None
        self._begin(calibration_before(inputs.job_dir, spec) or self._reader.calibrate(progress))

    def batches(self, step: int) -> tuple[Batch, ...]:
        def filling(done: int, total: int) -> None:
            self._progress.reach(step, f"filling the shuffle buffer: {done} of {total} forward passes")
            stop_if_asked(self._progress)  # no step was made since the last checkpoint

        return self._paired(self._stream.batch(filling))

    def tensors(self) -> dict[str, Tensor]:
        return self._calibration.tensors() | {"place": self._stream.place()}

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        self._begin(Calibration.from_tensors(tensors, self._spec.normalize_activations))
        self._stream.go_to(tensors["place"])

    def effective(self) -> dict[str, Any]:
        reader, calibration = self._reader, self._calibration
        return {
            "source": "text",
            "lm_dtype": str(reader.model.dtype).removeprefix("torch."),
            "quantization": quantization_resolve(self._inputs.quantization, self._inputs.model_dir),
            "contexts": list(reader.texts.sizes),
            "text_tokens": reader.texts.token_count,
            "excluded_tokens": list(reader.excluded_tokens),
            "sink_thresholds": list(calibration.thresholds),
            "sink_share": calibration.sinks / calibration.tokens,
            "factors": [each.factor for each in calibration.normalizing],
        }

    def epochs(self, steps_done: int) -> float:
        return steps_done * self._spec.batch_size / self._reader.texts.position_count

    def held_out(self, site: int) -> Batch | None:
        if self._held_out is None:
            self._held_out = self._reader.held_out(self._limits)
        return self._paired(self._held_out)[site] if len(self._held_out[0]) else None

    @property
    def _limits(self) -> tuple[float | None, ...]:
        return self._reader.captured.limits(self._calibration.thresholds)

    def _begin(self, calibration: Calibration) -> None:
        """The stream from its first batch on, with what was measured."""
        spec, reader, self._calibration = self._spec, self._reader, calibration
        self.sites = tuple(self._site(number) for number in range(len(reader.captured.reads)))
        blocks = Blocks(
            reader.texts,
            ContextOrder(reader.texts.sizes, mixing=spec.mixing, weights=spec.mixing_weights, seed=spec.seed),
            reader.harvest,
            self._limits,
            rows_wanted=spec.steps * spec.batch_size,
            buffer_tokens=spec.buffer_tokens,
            batch_contexts=spec.batch_contexts,
            seed=spec.seed,
        )
        self._stream = TextStream(
            blocks,
            reader.widths,
            batch_size=spec.batch_size,
            steps=spec.steps,
            device=reader.buffer_device(blocks.capacity),
        )

    def _site(self, number: int) -> SiteActivations:
        captured, calibration = self._reader.captured, self._calibration
        d_in, d_target = captured.pair(self._reader.widths, number)
        normalizing, device = calibration.normalizing[number], self._inputs.device
        mean_D, target_mean_E = (mean.to(device) for mean in calibration.means[number])
        return SiteActivations(
            hook_site=captured.reads[number],
            d_in=d_in,
            d_out=d_target or d_in,
            factor=normalizing.factor,
            target_factor=normalizing.target_factor,
            mean_D=mean_D,
            target_mean_E=target_mean_E,
            mean_norm=normalizing.mean_norm,
            sink_threshold=calibration.thresholds[number],
            excluded_tokens=self._reader.excluded_tokens,
        )

    def _paired(self, rows: tuple[Tensor, ...]) -> tuple[Batch, ...]:
        """Rows of all captured sites as a normalised batch for each site that is read."""
        return tuple(
            normalizing.batch(*self._reader.captured.pair(rows, number), self._inputs.device)
            for number, normalizing in enumerate(self._calibration.normalizing)
        )


def source_open(spec: TrainSpec, inputs: TrainInputs, progress: Progress) -> Source:
    """The activation cache when `inputs` names one, else the language model on the texts."""
    return CacheSource(spec, inputs) if inputs.cache_dir else TextSource(spec, inputs, progress)
