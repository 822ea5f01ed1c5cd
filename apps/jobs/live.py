"""Live fragments of jobs: the card, the cell of a list, and the header's count."""

from django.template.loader import render_to_string

from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import JOBS
from apps.jobs.models import Job
from apps.jobs.selectors import active_count


@renders(JOBS)
def render(pk: str) -> str | None:
    """jobs/<id>: card and list cell; jobs/all: how many jobs are active."""
    if pk == "all":
        count = active_count()
        places = ("wide", "narrow")
        return "".join(render_to_string("jobs/active_count.html", {"count": count, "place": place}) for place in places)
    job = row_or_none(Job.objects.all(), pk)
    if job is None:
        return None
    return render_to_string("components/job_card.html", {"job": job}) + render_to_string("jobs/cell.html", {"job": job})
