"""Rows that jobs make, with their newest jobs fetched in one query, and the page that lists them."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.core.asking import choice_asked, names_require
from apps.core.storage import disk_free_bytes
from apps.jobs.models import Job

LIST_ROWS = 50


def subject_list_page(
    request: HttpRequest, find: Callable[..., QuerySet[Any]], sorts: Collection[str], template: str, **context: Any
) -> HttpResponse:
    """The rows of `find(query=, sort=)` with the bytes they take: ?q= searches, ?sort= is one of `sorts`, its first without."""
    names_require(request.GET, ("q", "sort", "page"))
    query, sort = request.GET.get("q", ""), choice_asked(request.GET, "sort", sorts, default=next(iter(sorts)))
    found = find(query=query, sort=sort)
    page = Paginator(found, LIST_ROWS).get_page(request.GET.get("page"))
    context |= {
        "page": page,
        "rows": with_newest_jobs(page.object_list),
        "query": query,
        "sort": sort,
        "sorts": sorts,
        "used_bytes": found.model._default_manager.aggregate(sum=Sum("bytes"))["sum"],
        "free_bytes": disk_free_bytes(),
    }
    return render(request, template, context)


def with_newest_jobs(subjects: Iterable[Any]) -> list[Any]:
    """The subjects (all of one model), each with `newest_job` (Job or None) and `state_word`: ready, the job's, or missing."""
    rows = list(subjects)
    newest: dict[int, Job] = {}
    if rows:
        found = Job.objects.filter(subject_entity=rows[0].ENTITY, subject_id__in=[row.pk for row in rows])
        newest = {job.subject_id: job for job in found.order_by("id")}
    for row in rows:
        row.newest_job = newest.get(row.pk)
        row.state_word = subject_state(row, row.newest_job)
    return rows


def subject_state(subject: Any, job: Job | None) -> str:
    """What a badge says of a row: "ready", else the state of its newest job, "missing" without one."""
    if subject.is_ready:
        return "ready"
    return str(job.state) if job is not None else "missing"


def subject_topics(subject: Any, job: Job | None) -> list[str]:
    """What the page of a row listens to: the row's topic and its newest job's."""
    return [subject.topic] if job is None else [subject.topic, job.topic]


def with_job(shown: dict[str, Any], subject: Any) -> dict[str, Any]:
    """The row's JSON with the state of its newest job."""
    job = subject.job
    return {**shown, "job": {"id": job.pk, "state": str(job.state), "url": job.get_absolute_url()} if job else None}
