"""What a training run will need, before it starts: memory from the shapes, time from earlier runs.

The formula of memory is specs/training_memory.py, which the engine's own check uses too; beside it stands the language model,
where it runs along or measures CE at checkpoints.
"""

from dataclasses import dataclass

from apps.core.fit import TOO_LARGE, FitWord, fit_word
from apps.language_models.fit import ModelShape, context_within, model_need
from apps.language_models.models import LanguageModel
from apps.training.models import TrainingRun
from apps.training.origins import Origin
from apps.training.pace import paces_of
from workers.engine.monitor.devices import Device, devices
from workers.engine.specs.base import spec_load
from workers.engine.specs.training import TrainSpec
from workers.engine.specs.training_memory import TrainingMemory, largest_d_sae, training_memory

OTHERS_ASKED = 5
SMALLEST_PIECE = 8
"""Tokens; the engine makes no smaller micro-batches."""


@dataclass(frozen=True)
class Estimate:
    """Bytes on the device, and seconds where earlier runs say something about them."""

    memory: TrainingMemory
    lm_bytes: int
    """The language model with a forward pass on the device that needs most for it; 0 when it is not loaded."""
    cache_bytes: int
    """Activations, kept in the machine's memory where half of it suffices; not counted in `memory`."""
    seconds: float | None
    from_runs: int

    @property
    def total_bytes(self) -> int:
        return self.memory.total_bytes + self.lm_bytes


def training_estimate(*, spec: TrainSpec, origin: Origin) -> Estimate:
    """Memory of the run, and its time at the speed of earlier runs.

    From a cache the time goes with Σ d_in × d_sae over the SAEs. From text most of it is the language model's, so only
    runs on text of the same model say something.
    """
    others = TrainingRun.objects.filter(architecture=spec.architecture, tokens_per_s__gt=0).prefetch_related("members")
    others = others.select_related("activation_cache").filter(activation_cache__isnull=spec.source != "cache")
    if spec.source != "cache":
        others = others.filter(language_model=origin.language_model)
    tokens, runs = spec.steps * spec.batch_size, list(others[:OTHERS_ASKED])
    seconds = sorted(
        pace.start_s
        + tokens / pace.tokens_per_s * (_work(spec, origin) / _work_of(run) if spec.source == "cache" else 1)
        for run, pace in zip(runs, paces_of(runs))
    )
    return Estimate(
        memory=training_memory(spec, origin.widths),
        lm_bytes=max(_lm_bytes(spec, origin, device) for device in devices()),
        cache_bytes=origin.cache.bytes if origin.cache else 0,
        seconds=seconds[len(seconds) // 2] if seconds else None,
        from_runs=len(seconds),
    )


def _lm_bytes(spec: TrainSpec, origin: Origin, device: Device) -> int:
    if spec.source == "cache" and spec.ce_contexts == 0:
        return 0
    batch = spec.batch_contexts if spec.source == "text" else min(spec.batch_contexts, spec.ce_contexts)
    context_length = origin.tokenizations[0].context_length
    return lm_bytes(origin.language_model, device, context_length=context_length, batch=batch)


def lm_bytes(language_model: LanguageModel, device: Device, *, context_length: int, batch: int) -> int:
    """The language model as it is held, with a forward pass of `batch` contexts, on a device."""
    shape = ModelShape.from_report(language_model.report)
    quantization = language_model.quantization or shape.published
    need = model_need(shape, quantization, device, context_length=context_within(shape, context_length), batch=batch)
    return need.weights_bytes + need.working_bytes


def _work(spec: TrainSpec, origin: Origin) -> int:
    members = spec.members()
    per_site = len(members) // len(origin.widths)
    return sum(sum(origin.widths[member.index // per_site]) * member.spec.d_sae for member in members)


def _work_of(run: TrainingRun) -> int:
    width = run.activation_cache.d_in + (run.activation_cache.report.get("d_out") or run.activation_cache.d_in)
    return max(1, sum(width * member.d_sae for member in run.members.all()))


@dataclass(frozen=True)
class Fit:
    """Whether a run fits on a device, and the largest dictionary that does."""

    device: str
    verdict: FitWord
    free_bytes: int
    largest_d_sae: int


def device_fits(*, spec: TrainSpec, origin: Origin) -> list[Fit]:
    """The run on every device of this machine, with the largest dictionary that it can train."""
    return [_fit(spec, origin, device) for device in devices()]


def _fit(spec: TrainSpec, origin: Origin, device: Device) -> Fit:
    lm = _lm_bytes(spec, origin, device)
    needed = training_memory(spec, origin.widths, device=device.name).total_bytes + lm
    return Fit(
        device=device.name,
        verdict=fit_word(needed_bytes=needed, free_bytes=device.free_bytes),
        free_bytes=device.free_bytes,
        largest_d_sae=largest_d_sae(spec, origin.widths, max(0, device.free_bytes - lm), device=device.name),
    )


def micro_batch_that_fits(*, spec: TrainSpec, origin: Origin) -> int | None:
    """The largest half, quarter, … of the pieces that a batch is worked through in now with which the run fits on a device
    it may use; None when even the smallest does not."""
    allowed = [device for device in devices() if spec.device in ("auto", device.name)]
    tokens = min(spec.micro_batch_size or spec.batch_size, spec.batch_size) // 2
    while tokens >= SMALLEST_PIECE:
        smaller = spec_load(TrainSpec, {**spec.to_json(), "micro_batch_size": tokens})
        if any(_fit(smaller, origin, device).verdict != TOO_LARGE for device in allowed):
            return tokens
        tokens //= 2
    return None
