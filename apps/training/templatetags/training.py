"""Filters of the training pages: what the SAEs of a run say together, and the colours they are drawn in."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.templatetags.studio import number, percent
from apps.training.charts import member_colour
from apps.training.models import RunMember, TrainingRun

register = template.Library()
register.filter("colour", member_colour)

SHARES = ("dead_share",)


@register.filter
def span(run: TrainingRun, name: str) -> str | SafeString:
    """A number of the run's SAEs: {{ run|span:"fvu" }}. Of several that differ "0.399 to 0.774", never that of one alone."""
    least, most = member_span(list(run.members.all()), name)
    words = percent if name in SHARES else number
    return words(least) if least == most else format_html("{} to {}", words(least), words(most))


def member_span(members: list[RunMember], name: str) -> tuple[float | None, float | None]:
    """The least and the greatest value that members have; None twice when none has one."""
    known = [value for member in members if (value := getattr(member, name)) is not None]
    return (min(known), max(known)) if known else (None, None)
