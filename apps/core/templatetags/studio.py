"""Tags and filters that every template has: numbers for people, times, states, and the page's live topics.

Numbers keep their exact value: filters give a <data> element whose title and value hold it in full.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django import template
from django.core.paginator import Page
from django.template.base import FilterExpression, Parser, Token
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.live.topics import ALL_JOBS

register = template.Library()

NOTHING = "–"
_STEPS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")

STATES: dict[str, tuple[str, str]] = {
    "queued": ("clock", "quiet"),
    "running": ("loader-circle", "busy"),
    "stopping": ("circle-stop", "warn"),
    "paused": ("circle-pause", "warn"),
    "interrupted": ("unplug", "warn"),
    "succeeded": ("circle-check", "good"),
    "failed": ("circle-x", "bad"),
    "cancelled": ("ban", "quiet"),
    "ready": ("circle-check", "good"),
    "missing": ("circle-alert", "bad"),
}
"""State word → (icon, tone). The word itself is always shown beside the icon."""


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits, without trailing zeros: 0.0123, 4.5, 120, 1.2e-7."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    return f"{value:,.0f}" if abs(value) >= 1 else text.replace("e-0", "e-")


def compact(value: float) -> str:
    """1,234,567 as 1.23M; whole numbers below 10,000 in full with a thousands comma."""
    if isinstance(value, int) and abs(value) < 10_000:
        return f"{value:,}"
    for size, letter in _STEPS:
        if abs(value) >= size:
            return f"{significant(value / size)}{letter}"
    return significant(value)


def _exact(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else repr(float(value))


@register.filter
def number(value: float | None) -> str | SafeString:
    """1.23M with the exact value in the title; an en dash for None."""
    if value is None or value == "":
        return NOTHING
    return format_html('<data class="number" value="{}" title="{}">{}</data>', value, _exact(value), compact(value))


@register.filter("bytes")
def bytes_amount(value: float | None) -> str | SafeString:
    """Bytes in binary units (1 KiB = 1,024 B), the exact count in the title."""
    if value is None or value == "":
        return NOTHING
    return format_html(
        '<data class="number" value="{}" title="{} bytes">{}</data>', value, _exact(value), bytes_words(value)
    )


def bytes_words(value: float) -> str:
    """1536 as "1.5 KiB"."""
    size, unit = float(value), 0
    while abs(size) >= 1024 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} B" if unit == 0 else f"{significant(size)} {_BYTE_UNITS[unit]}"


@register.filter
def percent(share: float | None) -> str | SafeString:
    """A share from 0 to 1 as "12.3 %", three significant digits, the exact share in the title."""
    if share is None or share == "":
        return NOTHING
    return format_html(
        '<data class="number" value="{}" title="{}">{} %</data>', share, _exact(share), significant(100 * share)
    )


@register.filter
def duration(value: float | timedelta | None) -> str:
    """Seconds in words with at most two units: "45 s", "3 min 20 s", "2 h 5 min", "4 d 3 h"."""
    if value is None or value == "":
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 10:
        return f"{significant(max(seconds, 0.0), 2)} s"
    whole = round(seconds)
    for size, large, small_size, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {large} {rest} {small}" if rest else f"{whole // size} {large}"
    return f"{whole} s"


@register.filter
def local_time(at: datetime | None, style: str = "full") -> str | SafeString:
    """A <time> that the browser shows in its own zone; style "full" or "ago" ("5 min ago"). UTC without scripts."""
    if at is None:
        return NOTHING
    words = f"{at:%Y-%m-%d %H:%M} UTC" if style == "full" else f"{duration(timezone.now() - at)} ago"
    return format_html('<time datetime="{}" data-style="{}">{}</time>', at.isoformat(), style, words)


@register.inclusion_tag("components/badge.html")
def state_badge(state: str, words: str = "") -> dict[str, str]:
    """A state as icon and word: {% state_badge job.state %}."""
    icon, tone = STATES.get(state, ("circle-dashed", "quiet"))
    return {"icon": icon, "tone": tone, "words": words or state, "state": state}


class LiveNode(template.Node):
    """Marks its place with the topics, for live.js, and notes them for the one socket that base.html opens at its end."""

    def __init__(self, topics: list[FilterExpression]) -> None:
        self.topics = topics

    def render(self, context: Context) -> str:
        named = [topic for expression in self.topics for topic in _flat(expression.resolve(context))]
        request = getattr(context, "request", None)
        if request is not None:
            request.live_topics = [*getattr(request, "live_topics", []), *named]
        return format_html('<i hidden data-live-topics="{}"></i>', " ".join(named)) if named else ""


def _flat(value: object) -> list[str]:
    """One topic or many as a list; a variable that the page does not have is no topic."""
    return [topic for topic in ([value] if isinstance(value, str) else value or ()) if topic]


@register.tag
def live(parser: Parser, token: Token) -> LiveNode:
    """{% live run.topic job.topic %} or a list of topics: subscribe this page to them.

    It works in fragments too: when htmx has swapped one in, live.js opens the socket anew with the topics now marked.
    """
    return LiveNode([parser.compile_filter(bit) for bit in token.split_contents()[1:]])


@register.simple_tag(takes_context=True)
def live_socket(context: Context) -> SafeString:
    """The one WebSocket of the page; used by base.html after everything else."""
    topics = [ALL_JOBS, *getattr(getattr(context, "request", None), "live_topics", [])]
    query = urlencode([("topic", topic) for topic in dict.fromkeys(topics)])
    return format_html(
        '<div id="live-socket" hidden hx-ext="ws,live" ws-connect="/ws/live/?{}" data-poll="/live/?{}"></div>',
        query,
        query,
    )


@register.filter
def page_numbers(page: Page) -> list[int | str]:
    """Numbers for a pager, gaps as "…"."""
    return list(page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1))


@register.filter
def spark_points(values: Sequence[float]) -> str:
    """Values as the points of a polyline in a 100 × 24 box, the largest at the top."""
    if not values:
        return ""
    low, high = min(values), max(values)
    span, last = (high - low) or 1.0, max(1, len(values) - 1)
    return " ".join(f"{100 * i / last:.1f},{22 - 20 * (v - low) / span:.1f}" for i, v in enumerate(values))
