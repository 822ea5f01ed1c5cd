"""What a feature run will read, and about how long it will take, before it starts."""

from dataclasses import dataclass
from functools import cached_property

from django.db.models import QuerySet
from django.db.models.functions import Coalesce

from apps.core.errors import AppError, NotFound
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_fit import tokenization_require_fit
from apps.datasets.tokenization_selectors import tokenization_ready
from apps.features.models import FeatureRun
from apps.jobs.models import Job
from apps.jobs.states import ACTIVE
from apps.saes.models import Sae
from workers.engine.specs.features import FeatureRunSpec


@dataclass(frozen=True)
class RunPlan:
    """A run that could start: its SAEs read one language model, its text is cut by that model's tokenizer."""

    saes: tuple[Sae, ...]
    tokenization: Tokenization
    tokens: int
    """Most tokens that are read."""

    @cached_property
    def like(self) -> FeatureRun | None:
        """The newest run on the same language model that has ended."""
        return None if self._job_before is None else self._runs_before.get(pk=self._job_before.subject_id)

    @property
    def seconds(self) -> float | None:
        """At the pace of `like`, start included; None without one. Most of the time is the language model's, up to the
        deepest SAE: it goes with the number of blocks."""
        if self.like is None:
            return None
        pace = (self._job_before.ended_at - self._job_before.started_at).total_seconds() / self.like.tokens
        blocks = max(sae.layer for sae in self.saes) + 1
        return self.tokens * pace * blocks / (self.like.sae.layer + 1)

    @cached_property
    def _job_before(self) -> Job | None:
        """The newest job of those runs that says how long it took."""
        jobs = Job.objects.filter(subject_entity=FeatureRun.ENTITY, subject_id__in=self._runs_before.values("pk"))
        return jobs.filter(started_at__isnull=False, ended_at__isnull=False).order_by("-id").first()

    @property
    def _runs_before(self) -> QuerySet[FeatureRun]:
        ready = FeatureRun.objects.filter(ready_at__isnull=False, tokens__gt=0).select_related("sae")
        return ready.filter(sae__language_model=self.saes[0].language_model_id)


def feature_run_plan(spec: FeatureRunSpec) -> RunPlan:
    """What the Spec asks for. AppError: no such SAE, SAEs of two language models, a text of another tokenizer or not ready,
    or a run of one of the SAEs that is still under way."""
    found = Sae.objects.select_related("language_model").in_bulk(spec.saes)
    for pk in spec.saes:
        if pk not in found:
            raise NotFound("SAE", pk)
    saes, tokenization = tuple(found[pk] for pk in spec.saes), tokenization_ready(spec.tokenization)
    tokenization_require_fit(tokenization, saes[0].language_model)
    for sae in saes:
        _require_same_model(saes[0], sae)
        _require_no_active_run(sae)
    left = tokenization.tokens - spec.first_context * tokenization.context_length
    return RunPlan(saes, tokenization, tokens=min(spec.max_tokens, max(0, left)))


def _require_same_model(first: Sae, sae: Sae) -> None:
    if sae.language_model_id != first.language_model_id:
        raise AppError(
            "model_differs",
            f"{sae} reads {sae.language_model}, but {first} reads {first.language_model}.",
            "SAEs that share a pass read one language model.",
            field="more_saes",
        )


def _require_no_active_run(sae: Sae) -> None:
    runs = FeatureRun.objects.filter(sae=sae).values(job_of=Coalesce("lead", "pk"))
    active = Job.objects.filter(subject_entity=FeatureRun.ENTITY, subject_id__in=runs, state__in=ACTIVE).first()
    if active is not None:
        raise AppError(
            "already_active", f"Job {active.pk} already finds the features of {sae}.", "Wait for it.", status=409
        )
