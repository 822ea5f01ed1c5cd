"""Pages of jobs: all of them, one of them, and the buttons."""

import dataclasses
from pathlib import PurePath
from typing import Any

from django.apps import apps
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.core.asking import names_require, whole_asked
from apps.core.errors import NotFound
from apps.core.spec_fields import record_words
from apps.core.templatetags.studio import NOTHING
from apps.jobs import services
from apps.jobs.api import ACTIONS, job_filters
from apps.jobs.models import DeviceLease, Job
from apps.jobs.selectors import job_get, job_list, job_log_tail, queue_position, subject_url
from apps.jobs.states import State
from workers.engine.specs.base import Option
from workers.engine.specs.kinds import SPECS

PAGE_SIZE = 25


@require_GET
def job_list_page(request: HttpRequest) -> HttpResponse:
    """All work, newest first, with filters by state, kind and words."""
    names_require(request.GET, ("state", "kind", "q", "page"))
    filters, query = job_filters(request.GET), request.GET.get("q", "")
    page = Paginator(job_list(**filters, query=query), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(job, queue_position(job)) for job in page],
        "topics": [job.topic for job in page if job.is_active],
        "leases": DeviceLease.objects.select_related("job").order_by("host", "device"),
        "states": [("active", "active"), ("ended", "ended"), *State.choices],
        "kinds": [(name, spec.TITLE) for name, spec in SPECS.items()],
        "chosen": {**filters, "q": query},
        "is_filtered": any((*filters.values(), query)),
    }
    return render(request, "jobs/list.html", context)


@require_GET
def job_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One job: progress, buttons, history by attempt, settings, log."""
    job = job_get(pk)
    context = {
        "job": job,
        "position": queue_position(job),
        "subject_url": subject_url(job),
        "events": job.events.all(),
        "options": spec_rows(job),
        "log": job_log_tail(job),
    }
    return render(request, "jobs/detail.html", context)


@require_POST
def job_action(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Ask something of a job; a retry leads to the new job."""
    job = job_get(pk)
    if action == "retry":
        return _answer(request, services.job_retry(job=job, user=request.user), is_new=True)
    if action not in ACTIONS:
        raise NotFound("job action", action)
    ACTIONS[action](job=job)
    return _answer(request, job_get(pk))


@require_POST
def job_priority(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a queued job's place."""
    services.job_priority_set(job=job_get(pk), priority=whole_asked(request.POST, "priority"))
    return _answer(request, job_get(pk))


def _answer(request: HttpRequest, job: Job, *, is_new: bool = False) -> HttpResponse:
    """The card as it is now for htmx; otherwise, and for a new job, its page."""
    if not request.htmx:
        return redirect(job)
    if is_new:
        return HttpResponse(headers={"HX-Redirect": job.get_absolute_url()})
    return render(request, "components/job_card.html", {"job": job})


@dataclasses.dataclass(frozen=True)
class OptionRow:
    """One option of a job's Spec as the page shows it."""

    name: str
    option: Option
    value: Any
    is_default: bool
    rows: tuple[Model, ...] = ()
    """What the value refers to."""

    @property
    def words(self) -> str:
        """The value as a reader says it: a choice's words, thousands with commas, several with commas between them."""
        return ", ".join(map(self._one, self.value if isinstance(self.value, tuple) else (self.value,))) or NOTHING

    def _one(self, value: Any) -> str:
        if value is None or value == "":
            return NOTHING
        if isinstance(value, bool):
            return "yes" if value else "no"
        if self.option.is_path:
            return PurePath(value).name
        if isinstance(value, int):
            return f"{value:,}"
        if dataclasses.is_dataclass(value):
            return record_words(dataclasses.astuple(value))
        return dict(self.option.choices).get(str(value), str(value))


def spec_rows(job: Job) -> list[OptionRow]:
    """The options that matter with their values; those that refer to rows with the rows."""
    spec = job.loaded_spec
    defaults = {f.name: f.default for f in dataclasses.fields(spec)}
    rows = []
    for name, option in spec.options().items():
        if option.only_for is not None and str(getattr(spec, option.only_for[0])) not in option.only_for[1]:
            continue
        value = getattr(spec, name)
        rows.append(OptionRow(name, option, value, value == defaults[name], _rows(option, value)))
    return rows


def _rows(option: Option, value: Any) -> tuple[Model, ...]:
    """The rows that an option's id or ids refer to, in their order; a deleted one is left out."""
    if not option.reference:
        return ()
    ids = value if isinstance(value, tuple) else (value,)
    found = apps.get_model(option.reference)._default_manager.in_bulk([pk for pk in ids if pk is not None])
    return tuple(found[pk] for pk in ids if pk in found)
