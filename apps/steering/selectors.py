"""What pages, endpoints and commands read of steering experiments."""

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery

from apps.core.selectors import row_of
from apps.features.models import Feature
from apps.jobs.models import Job
from apps.saes.reading import reading_notes
from apps.steering.models import Experiment, Generation
from workers.engine.specs.base import spec_load
from workers.engine.specs.steering import SteerSpec


@dataclass(frozen=True)
class SteeredRow:
    """One steered feature with its words, as pages show it. `raw` is the length of the added vector, once known."""

    index: int
    strength: float
    raw: float | None
    feature: Feature | None


def experiment_get(pk: int) -> Experiment:
    """The experiment with its texts; NotFound otherwise."""
    return row_of(experiment_list(), "experiment", pk)


def experiment_list() -> QuerySet[Experiment]:
    """Saved experiments first, then newest first, each with `job_id` and `job_state` of its newest job."""
    jobs = Job.objects.filter(subject_entity=Experiment.ENTITY, subject_id=OuterRef("pk")).order_by("-id")
    return (
        Experiment.objects.select_related("sae__language_model")
        .annotate(job_id=Subquery(jobs.values("pk")[:1]), job_state=Subquery(jobs.values("state")[:1]))
        .prefetch_related(Prefetch("generations", queryset=Generation.objects.order_by("id")))
        .order_by("-is_saved", "-id")
    )


def experiment_spec(experiment: Experiment) -> SteerSpec:
    """The Spec, upgraded to today's schema."""
    return spec_load(SteerSpec, experiment.spec)


def generations_of(experiment: Experiment) -> tuple[Generation | None, Generation | None]:
    """(baseline, steered); None for what is not generated yet."""
    by_condition = {generation.condition: generation for generation in experiment.generations.all()}
    return by_condition.get(Generation.Condition.BASELINE), by_condition.get(Generation.Condition.STEERED)


def steered_rows(experiment: Experiment) -> list[SteeredRow]:
    """The steered features in order, with their rows' words where a feature run made them."""
    wanted = experiment_spec(experiment).features
    indices = [feature.index for feature in wanted]
    rows = {f.index: f for f in Feature.objects.filter(sae=experiment.sae_id, index__in=indices)}
    raw = experiment.report.get("raw_strengths") or [None] * len(wanted)
    return [SteeredRow(f.index, f.strength, value, rows.get(f.index)) for f, value in zip(wanted, raw)]


def experiment_json(experiment: Experiment) -> dict[str, Any]:
    """An experiment of `experiment_list` as the API, `--json` and the download show it."""
    baseline, steered = generations_of(experiment)
    return {
        "id": experiment.pk,
        "name": experiment.name,
        "saved": experiment.is_saved,
        "ready": experiment.is_ready,
        "sae": {"id": experiment.sae_id, "name": str(experiment.sae)},
        "spec": experiment.spec,
        "prompt": experiment.prompt,
        "baseline": baseline and {"text": baseline.text, "tokens": baseline.tokens, "seed": baseline.seed},
        "steered": steered and {"text": steered.text, "tokens": steered.tokens, "seed": steered.seed},
        "differs": experiment.differs,
        "delta_norm": experiment.delta_norm,
        "activation_norm": experiment.activation_norm,
        "raw_strengths": experiment.report.get("raw_strengths"),
        "prompt_ids": experiment.report.get("prompt_ids"),
        "hook_calls": experiment.report.get("hook_calls"),
        "steered_positions": experiment.report.get("steered_positions"),
        "read_as": experiment.report.get("read_as"),
        "notes": reading_notes(experiment.sae, experiment.report),
        "job": {"id": experiment.job_id, "state": experiment.job_state},
        "created_at": experiment.created_at.isoformat(),
        "ready_at": experiment.ready_at.isoformat() if experiment.ready_at else None,
        "url": experiment.get_absolute_url(),
        "topic": experiment.topic,
    }
