"""Train one SAE on an activation cache: the loop around trainer.py, its wishes, checkpoints and charts.

Steps: open the cache; find the newest checkpoint; then for each step ask for wishes, take the batch of (seed, step), step,
tell the charts every log_every steps, keep a checkpoint every checkpoint_every. At the end finishing.py writes the SAE.
A run that was stopped at any step and resumed gives bit-identical weights on the CPU with the same number of threads.

b_dec starts at the mean activation; saes/base.py says why.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from workers.engine.activations.cache import ActivationCache
from workers.engine.precision import matmul_dtype_for
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import TrainInputs, TrainResult, TrainSpec
from workers.engine.training.batches import Batches
from workers.engine.training.checkpoints import checkpoint_latest, checkpoint_write
from workers.engine.training.finishing import sae_finish
from workers.engine.training.memory import memory_check, out_of_memory_explained, training_bytes
from workers.engine.training.trainer import Trainer, denormals_flushed


@dataclass
class Run:
    """One training run in progress."""

    spec: TrainSpec
    job_dir: Path
    progress: Progress
    batches: Batches
    trainer: Trainer
    last_metrics: dict[str, float] = field(default_factory=dict)
    seconds_before: float = 0.0
    """Spent by earlier attempts."""
    started: float = field(default_factory=time.monotonic)
    logged_at: float = field(default_factory=time.monotonic)
    logged_step: int = 0

    @property
    def checkpoints(self) -> Path:
        return self.job_dir / "checkpoints"

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started


def train(spec: TrainSpec, inputs: TrainInputs, progress: Progress) -> TrainResult:
    """Train as `spec` says on `inputs.cache_dir`; writes the SAE folder into `inputs.out_dir`.

    Goes on from the newest checkpoint in `inputs.job_dir`. Raises Stopped for a wish, EngineError when the loss is no
    longer finite, OutOfMemory, DiskFull.
    """
    progress.resumable = True
    progress.phase("preparing")
    cache = ActivationCache.open(inputs.cache_dir)
    matmul_dtype = matmul_dtype_for(inputs.device)
    needed = training_bytes(spec, cache.d_in, matmul_dtype)
    memory_check(needed, inputs.device)
    with denormals_flushed(), out_of_memory_explained(needed, inputs.device):
        trainer = Trainer(spec, cache.d_in, device=inputs.device, matmul_dtype=matmul_dtype)
        run = Run(spec, Path(inputs.job_dir), progress, Batches(cache, spec, inputs.device), trainer)
        _resume(run)
        progress.phase("training", spec.steps, "steps")
        finished_early = _steps(run)
        _check_finite(run)
        if run.trainer.window.steps:
            _log(run)
        progress.phase("writing the SAE")
        return sae_finish(
            trainer,
            spec,
            inputs,
            factor=run.batches.factor,
            metrics=run.last_metrics,
            seconds=run.seconds,
            finished_early=finished_early,
        )


def _steps(run: Run) -> bool:
    """Train until the last step or a wish; True when it ended early and the SAE is wanted."""
    spec, trainer = run.spec, run.trainer
    run.logged_step = trainer.steps_done
    run.progress.reach(trainer.steps_done)
    while trainer.steps_done < spec.steps:
        if _obey(run):
            return True
        trainer.step(run.batches.at(trainer.steps_done))
        run.progress.reach(trainer.steps_done)
        is_last = trainer.steps_done == spec.steps
        if trainer.steps_done % spec.log_every == 0 or is_last:
            _check_finite(run)
            _log(run)
        if trainer.steps_done % spec.checkpoint_every == 0 or is_last:
            _checkpoint(run)
    return False


def _obey(run: Run) -> bool:
    """Do what is wished between two steps; True for "finish" (once there is something to keep)."""
    match run.progress.wish():
        case "checkpoint":
            _checkpoint(run)
            run.progress.wish_done("checkpoint")
        case "pause" | "interrupt" as wish:
            _checkpoint(run)
            raise Stopped(wish)
        case "cancel":
            raise Stopped("cancel")
        case "finish":
            return run.trainer.steps_done > 0
    return False


def _log(run: Run) -> None:
    """One point of the charts."""
    now, step = time.monotonic(), run.trainer.steps_done
    metrics = run.trainer.metrics()
    tokens = (step - run.logged_step) * run.spec.batch_size
    metrics["tokens_per_s"] = tokens / max(now - run.logged_at, 1e-9)
    run.logged_at, run.logged_step, run.last_metrics = now, step, metrics
    run.progress.metrics(step, **metrics)


def _checkpoint(run: Run) -> None:
    _check_finite(run)
    state = {
        "spec": run.spec.to_json(),
        "effective": _effective(run),
        "metrics": run.last_metrics,
        "seconds": run.seconds,
    }
    step = run.trainer.steps_done
    folder, size = checkpoint_write(run.checkpoints, step, run.trainer.tensors(), state)
    run.progress.checkpoint(step, str(folder.relative_to(run.job_dir)), size, **run.last_metrics)


def _effective(run: Run) -> dict[str, Any]:
    """What the Spec leaves open and must not change within a run."""
    sae = run.trainer.sae
    return {
        "d_in": sae.d_in,
        "matmul_dtype": str(sae.matmul_dtype).removeprefix("torch."),
        "factor": run.batches.factor,
        "cache_tokens": run.batches.cache.tokens,
    }


def _resume(run: Run) -> None:
    """Load the newest checkpoint and check that it belongs to this run; without one, begin."""
    found = checkpoint_latest(run.checkpoints)
    if found is None:
        _center(run)
        return
    run.trainer.sae.matmul_dtype = getattr(torch, found.state["effective"]["matmul_dtype"])
    if found.state["spec"] != run.spec.to_json() or found.state["effective"] != _effective(run):
        raise EngineError(
            f"The checkpoint of step {found.step} was made with other settings or another activation cache.",
            "Start a new run for new settings; a run resumes only as it was begun.",
        )
    run.trainer.load(found.tensors, found.step)
    run.last_metrics, run.seconds_before = found.state["metrics"], found.state["seconds"]
    run.progress.event(f"Resumed from the checkpoint of step {found.step}.")


def _center(run: Run) -> None:
    """Start b_dec at the mean activation; one that is not finite tells of broken activations before the first step."""
    if not run.batches.mean_D.isfinite().all():
        raise _not_finite("The activation cache holds NaN or infinity.")
    run.trainer.sae.center(run.batches.mean_D)


def _check_finite(run: Run) -> None:
    """Raise when a step since the last check produced numbers that are not finite; earlier checkpoints stay."""
    step = run.trainer.bad_step()
    if step is None:
        return
    kept = checkpoint_latest(run.checkpoints)
    where = f"The last good checkpoint is that of step {kept.step}." if kept else "There is no checkpoint before it."
    if not run.batches.at(step).isfinite().all():
        raise _not_finite(f"The activations of step {step + 1} hold NaN or infinity. {where}")
    raise EngineError(
        f"The loss was not finite at step {step + 1}. {where}",
        "Choose a smaller learning rate or a warm-up, and clip the gradient.",
        code="loss_not_finite",
    )


def _not_finite(message: str) -> EngineError:
    hint = "Cache the activations again, with float32 as the model's precision."
    return EngineError(message, hint, code="activations_not_finite")
