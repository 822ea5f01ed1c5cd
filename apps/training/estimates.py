"""What a training run will need, before it starts: memory from the shapes, time from earlier runs.

Sizes: d_in, d_sae, batch tokens. The engine's own check (engine/training/memory.py) counts the same way.
"""

from dataclasses import dataclass

from apps.core.fit import FitWord, fit_word
from apps.training.models import TrainingRun
from workers.engine.monitor.devices import devices
from workers.engine.specs.training import TrainSpec

FLOAT32 = 4
STATE_COPIES = 5
"""Weights, gradient, Adam's two moments, and one more while the gradient's norm is cut."""
DENSE_BLOCKS = {"topk": 2, "standard": 4}
"""(batch, d_sae) blocks that one step holds at once."""
INPUT_BLOCKS = 6
"""(batch, d_in) blocks likewise."""


@dataclass(frozen=True)
class Estimate:
    """Bytes on the device, and seconds where earlier runs say something about them."""

    state_bytes: int
    batch_bytes: int
    cache_bytes: int
    """Activations, kept in the machine's memory where half of it suffices; not counted in `device_bytes`."""
    seconds: float | None
    from_runs: int

    @property
    def device_bytes(self) -> int:
        return self.state_bytes + self.batch_bytes


def training_bytes(spec: TrainSpec, d_in: int) -> int:
    """Estimated peak memory on the device, matrix products in float32."""
    return state_bytes(spec, d_in) + batch_bytes(spec, d_in)


def state_bytes(spec: TrainSpec, d_in: int) -> int:
    """The SAE with its gradient and Adam's moments."""
    return STATE_COPIES * FLOAT32 * (2 * d_in * spec.d_sae + spec.d_sae + d_in)


def batch_bytes(spec: TrainSpec, d_in: int) -> int:
    """What one step holds of its batch."""
    latents = DENSE_BLOCKS[spec.architecture] * spec.batch_size * spec.d_sae * FLOAT32
    return latents + INPUT_BLOCKS * spec.batch_size * d_in * FLOAT32


def training_estimate(*, spec: TrainSpec, d_in: int, cache_bytes: int) -> Estimate:
    """Memory of the run, and its time at the speed of earlier runs, in proportion to their d_in × d_sae."""
    speeds = [
        (run.tokens_per_s, run.activation_cache.d_in * run.d_sae)
        for run in TrainingRun.objects.filter(architecture=spec.architecture, tokens_per_s__gt=0)
        .select_related("activation_cache")
        .only("tokens_per_s", "d_sae", "activation_cache__d_in")[:5]
    ]
    weights = d_in * spec.d_sae
    seconds = [spec.steps * spec.batch_size / speed * weights / size for speed, size in speeds if size]
    return Estimate(
        state_bytes=state_bytes(spec, d_in),
        batch_bytes=batch_bytes(spec, d_in),
        cache_bytes=cache_bytes,
        seconds=sorted(seconds)[len(seconds) // 2] if seconds else None,
        from_runs=len(seconds),
    )


def largest_d_sae(*, spec: TrainSpec, d_in: int, room_bytes: int) -> int:
    """The largest dictionary whose run fits into `room_bytes`; 0 when not even the batch does."""
    fixed = STATE_COPIES * FLOAT32 * d_in + INPUT_BLOCKS * spec.batch_size * d_in * FLOAT32
    each = STATE_COPIES * FLOAT32 * (2 * d_in + 1) + DENSE_BLOCKS[spec.architecture] * spec.batch_size * FLOAT32
    return max(0, (room_bytes - fixed) // each)


@dataclass(frozen=True)
class Fit:
    """Whether a run fits on a device, and the largest dictionary that does."""

    device: str
    verdict: FitWord
    free_bytes: int
    largest_d_sae: int


def device_fits(*, spec: TrainSpec, d_in: int, needed: int) -> list[Fit]:
    """The run on every device of this machine, with the largest dictionary that it can train."""
    return [
        Fit(
            device=device.name,
            verdict=fit_word(needed_bytes=needed, free_bytes=device.free_bytes),
            free_bytes=device.free_bytes,
            largest_d_sae=largest_d_sae(spec=spec, d_in=d_in, room_bytes=device.free_bytes),
        )
        for device in devices()
    ]
