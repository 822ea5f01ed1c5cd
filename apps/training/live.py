"""Live fragments of training runs: numbers, history and checkpoints of the run's page, cells of the list."""

from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone

from apps.core.live.rendering import renders
from apps.core.live.topics import TRAININGS
from apps.training.models import TrainingRun

EVENTS_SHOWN = 12
PARTS = ("detail.html#numbers", "detail.html#past", "list.html#progress", "list.html#l0", "list.html#fvu")


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
        "checkpoints": run.checkpoints.all(),
        "events": job.events.order_by("-pk")[:EVENTS_SHOWN] if job else [],
    }


@renders(TRAININGS)
def render(pk: str) -> str | None:
    """trainings/<id>; None when the run is gone."""
    run = TrainingRun.objects.select_related("activation_cache").filter(pk=pk).first() if pk.isdecimal() else None
    if run is None:
        return None
    context = live_context(run)
    return "".join(render_to_string(f"training/{part}", context) for part in PARTS)
