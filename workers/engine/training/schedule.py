"""What changes with the step: learning rate and L1 coefficient. Functions of (step, spec), so resuming needs no state.

Both follow SAELens: the learning rate rises linearly, stays, falls linearly at the end; the coefficient rises linearly.
Steps count from 0.
"""

from workers.engine.specs.training import TrainSpec


def learning_rate_at(step: int, spec: TrainSpec) -> float:
    """Adam's step size at `step`: never 0, neither at the first nor at the last step."""
    rise = (step + 1) / spec.lr_warmup_steps if spec.lr_warmup_steps else 1.0
    decay_steps = round(spec.steps * spec.lr_decay_pct / 100)
    fall = (spec.steps - step) / decay_steps if decay_steps else 1.0
    return spec.learning_rate * min(1.0, rise) * min(1.0, fall)


def sparsity_coefficient_at(step: int, spec: TrainSpec) -> float:
    """Weight of the L1 or L0 term at `step`: 0 at the first step of a warm-up, as in SAELens."""
    rise = step / spec.sparsity_warmup_steps if spec.sparsity_warmup_steps else 1.0
    return getattr(spec, spec.coefficient_name) * min(1.0, rise)
