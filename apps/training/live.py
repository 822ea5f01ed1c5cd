"""Live fragments of training runs: numbers, history and checkpoints of the run's page, cells of the list."""

from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone

from apps.core.asking import row_or_none
from apps.core.errors import AppError
from apps.core.live.rendering import renders
from apps.core.live.topics import TRAININGS
from apps.jobs.models import Job
from apps.jobs.states import State
from apps.training.estimates import device_fits, micro_batch_that_fits
from apps.training.models import TrainingRun
from apps.training.origins import origin_of
from apps.training.selectors import schedule_notes_of
from workers.engine.specs.base import spec_load
from workers.engine.specs.training import TrainSpec

EVENTS_SHOWN = 12
OUT_OF_MEMORY = "out_of_memory"
PARTS = (
    "detail.html#numbers",
    "detail.html#members",
    "detail.html#past",
    "list.html#progress",
    "list.html#l0",
    "list.html#fvu",
)


def live_context(run: TrainingRun) -> dict[str, Any]:
    """What the parts of the page that change while the run learns are made of."""
    job = run.job
    run.job_state = job.state if job else None
    return {
        "run": run,
        "job": job,
        "topics": [run.topic, *([job.topic] if job else [])],
        "steps_words": f"of {run.steps:,}",
        "time_left": job.seconds_left(timezone.now()) if job else None,
        "saes": run.saes.all(),
        "members": run.members.select_related("sae"),
        "hook_sites": ", ".join(dict.fromkeys(str(member.hook_site) for member in run.members.all())),
        "sparsity_label": TrainSpec.options()[spec_load(TrainSpec, run.spec).coefficient_name].label,
        "schedule_notes": schedule_notes_of(run),
        "dead_after": spec_load(TrainSpec, run.spec).dead_after_tokens,
        "why": why_stopped(job) if job else "",
        "way_out": way_out(run, job) if job else None,
        "checkpoints": run.checkpoints.all(),
        "events": job.events.order_by("-pk")[:EVENTS_SHOWN] if job else [],
    }


def why_stopped(job: Job) -> str:
    """Why a run that no longer learns stopped, and what is left of it; "" while it does, or when it simply finished."""
    match job.state:
        case State.FAILED:
            return f"Stopped by an error: {job.error_message}"
        case State.CANCELLED:
            return "Stopped on request; nothing was kept but the charts."
        case State.PAUSED:
            return "Paused on request; Resume lets it go on from its checkpoint."
        case State.INTERRUPTED:
            return "Interrupted: the studio was shut down or its worker was lost. It goes on by itself."
    return ""


@dataclass(frozen=True)
class WayOut:
    """What would let a run that ran out of memory fit: smaller pieces of the same batch, else fewer latents (0: none)."""

    micro_batch_size: int | None
    largest_d_sae: int


def way_out(run: TrainingRun, job: Job) -> WayOut | None:
    """None unless memory ran out and the run's activations are still there."""
    if job.error_code != OUT_OF_MEMORY:
        return None
    spec = spec_load(TrainSpec, run.spec)
    try:
        origin = origin_of(spec)
    except AppError:
        return None
    return WayOut(
        micro_batch_size=micro_batch_that_fits(spec=spec, origin=origin),
        largest_d_sae=max(fit.largest_d_sae for fit in device_fits(spec=spec, origin=origin)),
    )


@renders(TRAININGS)
def render(pk: str) -> str | None:
    """trainings/<id>; None when the run is gone."""
    runs = TrainingRun.objects.select_related("activation_cache", "language_model").prefetch_related("members")
    run = row_or_none(runs, pk)
    if run is None:
        return None
    context = live_context(run)
    return "".join(render_to_string(f"training/{part}", context) for part in PARTS)
