"""Train SAEs on a stream of activations: the loop, its wishes, checkpoints and charts.

One Spec may name many SAEs (`TrainSpec.members`): all at one hook site get the same batch, all hook sites come from one pass
of the language model. Steps: open the source (sources.py); begin or resume (run.py); then for each step ask for wishes, take
the batches, let every SAE make its step (trainer.py), tell the charts every log_every steps, keep a checkpoint every
checkpoint_every. At the end finishing.py writes the SAEs.

A run that was stopped at any step and resumed gives bit-identical weights on the CPU with the same number of threads.
saes/base.py says where b_dec starts, and why.
"""

from workers.engine.progress import Progress, Stopped
from workers.engine.saes.base import Batch
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import Member, TrainInputs, TrainResult, TrainSpec
from workers.engine.specs.training_memory import training_memory
from workers.engine.training.charts import Charts
from workers.engine.training.faults import NOT_FINITE, activations_not_finite
from workers.engine.training.finishing import saes_finish
from workers.engine.training.memory import MEMORY_ERRORS, is_out_of_memory, memory_check, out_of_memory_explained
from workers.engine.training.micro_batches import SMALLEST
from workers.engine.training.run import Run, run_open
from workers.engine.training.sources import source_open
from workers.engine.training.trainer import Trainer, denormals_flushed


def train(spec: TrainSpec, inputs: TrainInputs, progress: Progress) -> TrainResult:
    """Train every SAE of `spec`; writes a folder for each below `inputs.out_dir`.

    Goes on from the newest whole checkpoint in `inputs.job_dir`. Raises Stopped for a wish, EngineError when activations or
    a loss are not finite, OutOfMemory, DiskFull.
    """
    progress.resumable = True
    progress.phase("preparing")
    source = source_open(spec, inputs, progress)
    widths = [(site.d_in, site.d_out) for site in source.sites]
    needed = training_memory(spec, widths, device=inputs.device).total_bytes
    memory_check(needed, inputs.device)
    with denormals_flushed(), out_of_memory_explained(needed, inputs.device):
        run = run_open(spec, inputs, progress, source)
        charts = Charts(run)
        progress.phase("training", spec.steps, "steps")
        finished_early = _steps(run, charts)
        progress.phase("writing the SAEs")
        return saes_finish(run, finished_early=finished_early)


def _steps(run: Run, charts: Charts) -> bool:
    """Train until the last step or a wish; True when it ended early and the SAEs are wanted."""
    spec, is_early = run.spec, False
    run.progress.reach(run.steps_done)
    while run.steps_done < spec.steps and not (is_early := _obey(run, charts)):
        _step(run)
        run.progress.reach(run.steps_done)
        is_last = run.steps_done == spec.steps
        is_kept = run.steps_done % spec.checkpoint_every == 0 or is_last
        if run.steps_done % spec.log_every == 0 or is_last:
            run.check_finite()
            charts.tell(with_recovered=is_kept)
        if is_kept:
            _keep(run, charts)
    run.check_finite()
    if run.trainers[0].window.steps:
        charts.tell()
    return is_early


def _keep(run: Run, charts: Charts) -> None:
    """A checkpoint, with CE and KL recovered among its values."""
    run.check_finite()
    charts.tell_recovered()
    run.checkpoint()


def _step(run: Run) -> None:
    """One step of every member, on one batch for each hook site."""
    batches = _batches(run)
    for watch, batch in zip(run.watches, batches):
        watch.add(run.steps_done, batch)
    for member, site in zip(run.members, run.site_of):
        _member_step(run, member, batches[site])
    run.steps_done += 1


def _batches(run: Run) -> tuple[Batch, ...]:
    """The batches of this step. A source that meets NaN itself is told what is left."""
    try:
        return run.source.batches(run.steps_done)
    except EngineError as error:
        if error.code != NOT_FINITE:
            raise
        raise activations_not_finite(error.message, run.checkpoints) from error


def _member_step(run: Run, member: Member, batch: Batch) -> None:
    """One step of one SAE; when memory runs out, again with smaller pieces of the same batch."""
    trainer = run.trainers[member.index]
    while not _fits(run, trainer, batch):
        run.halve_micro_batch()
    if trainer.resampled:
        run.progress.event(f"Step {trainer.steps_done}: {trainer.resampled} dead latents of {member.key} start again.")


def _fits(run: Run, trainer: Trainer, batch: Batch) -> bool:
    """True when the step was made; False when memory ran out and smaller pieces are left to try."""
    try:
        trainer.step(batch, run.micro_batch_size)
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error) or run.micro_batch_size <= SMALLEST:
            raise
        return False
    return True


def _obey(run: Run, charts: Charts) -> bool:
    """Do what is wished between two steps; True for "finish" (once there is something to keep)."""
    match run.progress.wish():
        case "checkpoint":
            _keep(run, charts)
            run.progress.wish_done("checkpoint")
        case "pause" | "interrupt" as wish:
            run.checkpoint()
            raise Stopped(wish)
        case "cancel":
            raise Stopped("cancel")
        case "finish":
            return run.steps_done > 0
    return False
