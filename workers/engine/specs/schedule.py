"""What changes with the step: learning rate and sparsity coefficient. Functions of (step, spec), so resuming needs no state.

The learning rate rises linearly, stays, then falls over the last lr_decay_pct of training: linearly as in SAELens, by half
a cosine, or not at all. The coefficient rises linearly. Steps count from 0. A run may be shorter than what it schedules:
`schedule_notes` names the values it reaches.
"""

import math

from workers.engine.specs.training import TOPK_FAMILY, TrainSpec

LAST_SHARE_WITHOUT_RESAMPLING = 0.25
"""New latents need time to learn: none are made in this last share of training."""
LOOKED_AT = 2_000
"""Steps, evenly spread, among which the highest learning rate is sought."""


def learning_rate_at(step: int, spec: TrainSpec) -> float:
    """Adam's step size at `step`: never 0, neither at the first nor at the last step."""
    rise = (step + 1) / spec.lr_warmup_steps if spec.lr_warmup_steps else 1.0
    return spec.learning_rate * min(1.0, rise) * _fall(step, spec)


def sparsity_coefficient_at(step: int, spec: TrainSpec) -> float:
    """Weight of the L1 or L0 term at `step`: 0 at the first step of a warm-up, as in SAELens."""
    rise = step / spec.sparsity_warmup_steps if spec.sparsity_warmup_steps else 1.0
    return getattr(spec, spec.coefficient_name) * min(1.0, rise)


def _fall(step: int, spec: TrainSpec) -> float:
    """1 before the last part of training, then down towards 0, which it would reach one step after the last."""
    decay_steps = round(spec.steps * spec.lr_decay_pct / 100)
    left = min(1.0, (spec.steps - step) / decay_steps) if decay_steps else 1.0
    if spec.lr_decay == "cosine":
        return (1 - math.cos(math.pi * left)) / 2
    return left if spec.lr_decay == "linear" else 1.0


def schedule_notes(spec: TrainSpec, *, ended_at: int | None = None) -> list[str]:
    """A sentence for each schedule that the run does not carry through, with the value it reaches. `ended_at`: how many steps
    were made, where they are fewer than planned."""
    steps = max(1, spec.steps if ended_at is None else min(ended_at, spec.steps))
    ended = "ended" if ended_at is not None and ended_at < spec.steps else "ends"
    return [
        *_learning_rate_notes(spec, steps, ended),
        *_sparsity_notes(spec, steps, ended),
        *_resampling_notes(spec, steps),
    ]


def _learning_rate_notes(spec: TrainSpec, steps: int, ended: str) -> list[str]:
    looked_at = sorted({round(place * (steps - 1) / LOOKED_AT) for place in range(LOOKED_AT + 1)})
    reached = max(learning_rate_at(step, spec) for step in looked_at) / spec.learning_rate
    warmup = spec.lr_warmup_steps
    if warmup > steps:
        last = learning_rate_at(steps - 1, spec) / spec.learning_rate
        return [
            f"The learning rate rises over {warmup:,} steps, the run has {steps:,}: it reaches {_share(reached)} of "
            f"{spec.learning_rate:g} at most and {ended} at {_share(last)}."
        ]
    if warmup and _share(reached) != _share(1.0):
        return [
            f"The learning rate begins to fall before its warm-up of {warmup:,} steps is over: it reaches {_share(reached)} "
            f"of {spec.learning_rate:g} at most."
        ]
    if ended == "ended" and spec.lr_decay != "constant" and spec.lr_decay_pct > 0:
        last = learning_rate_at(steps - 1, spec) / spec.learning_rate
        return [
            f"The run ended after {steps:,} of {spec.steps:,} steps, with the learning rate at {_share(last)} of "
            f"{spec.learning_rate:g}: its fall towards 0 was not carried through."
        ]
    return []


def _sparsity_notes(spec: TrainSpec, steps: int, ended: str) -> list[str]:
    warmup, name = spec.sparsity_warmup_steps, spec.coefficient_name
    if spec.architecture in TOPK_FAMILY or not warmup:
        return []
    share = min(1.0, (steps - 1) / warmup)
    if _share(share) == _share(1.0):
        return []
    of = ", ".join(f"{value:g}" for value in spec.sweep_coefficient or (getattr(spec, name),))
    return [
        f"The sparsity coefficient rises over {warmup:,} steps, the run has {steps:,}: it {ended} at {_share(share)} of {of}."
    ]


def _resampling_notes(spec: TrainSpec, steps: int) -> list[str]:
    last = min(steps, math.floor(spec.steps * (1 - LAST_SHARE_WITHOUT_RESAMPLING)))
    if spec.dead_latents != "resample" or spec.resample_every <= last:
        return []
    return [f"Dead latents are resampled every {spec.resample_every:,} steps up to step {last:,}: never in this run."]


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"
