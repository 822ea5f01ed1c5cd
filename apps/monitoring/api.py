"""The machine as JSON: now, the last hour, and the new points of one chart."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest

from apps.core.api import api
from apps.core.asking import whole_asked
from apps.core.errors import AppError
from apps.monitoring.charts import plot_get, series_of
from apps.monitoring.selectors import MOST_POINTS, history, host_shown, hosts, latest, latest_json


@api("GET")
def metrics(request: HttpRequest) -> Any:
    """The newest reading of a host (?host=, by default this one); `is_stale` when the sampler has fallen silent."""
    return {**latest_json(host_shown(request.GET.get("host", ""))), "hosts": hosts()}


@api("GET")
def history_view(request: HttpRequest) -> Any:
    """Readings of the last hour, oldest first: ?points= at most (1800), ?after= an ISO time, ?host=."""
    host = host_shown(request.GET.get("host", ""))
    points = whole_asked(request.GET, "points", default=MOST_POINTS, least=1, most=MOST_POINTS)
    samples = history(host, after=_after(request), points=points)
    return {
        "host": host,
        "samples": [{"at": sample.at.isoformat(), "reading": sample.values} for sample in samples],
    }


@api("GET")
def chart_view(request: HttpRequest, name: str) -> Any:
    """The points of one chart of the system page that are later than ?after=."""
    host = host_shown(request.GET.get("host", ""))
    found = latest(host)
    plot = plot_get(name, found.reading.to_json() if found else None)
    series = series_of(plot, history(host, after=_after(request)))
    return {"series": [{"name": line.name, "x": line.x, "y": line.y} for line in series]}


def _after(request: HttpRequest) -> datetime | None:
    """?after= as a time; UTC where it names no zone. A chart without points asks for those after -1: all."""
    text = request.GET.get("after", "")
    if text in ("", "-1"):
        return None
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise AppError(
            "bad_time", f"after={text!r} is no ISO time.", "Write 2030-01-31T12:00:00.", field="after"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
