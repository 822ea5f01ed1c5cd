"""What the charts of a run's page have not seen yet: one answer for all of them, each time the run speaks."""

from collections.abc import Sequence
from typing import Any

from apps.core.templatetags.studio import compact
from apps.training.charts import (
    DENSITIES,
    MOST_READ,
    View,
    figure_series,
    histogram_news,
    newest_step,
    pareto_news,
    shown_members,
    spread_words,
)
from apps.training.figures import FIGURES, Figure
from apps.training.models import RunMember, TrainingRun
from apps.training.selectors import points_of

Points = dict[RunMember, list[dict[str, Any]]]


def chart_news(run: TrainingRun, view: View, *, after: int) -> dict[str, Any]:
    """{"after": newest step, "charts": {id: {"series", …}}} with the points of the shown SAEs from the step `after` on.

    That step itself is sent again: CE may have been measured there since. Charts know their points by x. Those with
    "replaces" get the whole of what they show.
    """
    points = points_of(shown_members(run, view), most=MOST_READ, since=after)
    newest = max(after, newest_step(points))
    charts = {figure.id: _figure_news(figure, points, view) for figure in FIGURES}
    charts["pareto"] = {"series": [pareto_news(run, view).to_json()], "replaces": True}
    if _has_histogram(points, after):
        series, summary = histogram_news(run, view)
        charts[DENSITIES] = {"series": [series.to_json()], "summary": summary, "replaces": True}
    return {"after": newest, "charts": {name: news for name, news in charts.items() if news}}


def _figure_news(figure: Figure, points: Points, view: View) -> dict[str, Any] | None:
    series = [line.to_json() for line in figure_series(figure, points, view.x) if line.x]
    return {"series": series, "summary": _now(figure, points)} if series else None


def _now(figure: Figure, points: Points) -> str:
    """ "FVU is 0.21 at step 1,300." For several SAEs between what they lie."""
    if len(points) > 1 and not figure.is_shared:
        return spread_words(figure, {f"SAE {member.index}": own for member, own in points.items()})
    own: Sequence[dict[str, Any]] = next(iter(points.values()))
    name = figure.values[0][0]
    known = [point for point in own if point.get(name) is not None]
    return f"{figure.title} is {compact(known[-1][name])} at step {known[-1]['step']:,}." if known else ""


def _has_histogram(points: Points, after: int) -> bool:
    """Whether the first shown SAE, whose densities are drawn, has a histogram that is not known yet."""
    return any(DENSITIES in point and point["step"] > after for point in next(iter(points.values())))
