"""What changes with the step: learning rate and sparsity coefficient. Functions of (step, spec), so resuming needs no state.

The learning rate rises linearly, stays, then falls over the last lr_decay_pct of training: linearly as in SAELens, by half
a cosine, or not at all. The coefficient rises linearly. Steps count from 0.
"""

import math

from workers.engine.specs.training import TrainSpec


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
