"""The charts of a training run, from its metric points, and where it stands among others."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.core.asking import number_or_none, whole_or_none
from apps.core.charts import USUAL_HEIGHT, Chart, Series
from apps.core.templatetags.studio import compact
from apps.training.figures import FIGURES, Figure
from apps.training.models import RunMember, TrainingRun
from apps.training.selectors import points_of
from apps.training.words import ARCHITECTURE_NAMES

AXES = {"step": ("step", "step"), "tokens": ("tokens", "tokens"), "time": ("time_s", "training time (s)")}
"""?x= → (name in the points, words on the axis)."""
NAMES = tuple(ARCHITECTURE_NAMES.items())
MOST_READ = 6_000
"""Points read for a page, those of all its SAEs together."""
MOST_DRAWN = 4_000
"""Points in one chart."""
MOST_IN_LINE, LEAST_IN_LINE = 500, 60
COLOURS = 7
"""Colours for series, in tokens.css."""
ROW_PX = 20
"""Height of a line in a legend."""
MOST_NEIGHBOURS = 200
MOST_HISTOGRAMS = 200
DENSITIES = "density_histogram"
"""Its name in the points, and its figure's."""
HISTOGRAM_EDGES = tuple(-7 + 0.25 * edge for edge in range(29))
"""log10 of the density at the borders of the histogram's bins (engine/metrics.py)."""


@dataclass(frozen=True)
class View:
    """How charts are looked at, as the URL says it."""

    x: str = "step"
    smooth: float = 0.0
    y: str = "linear"
    member: int | None = None
    """Index of the SAE that is looked at; None: all of them, or the only one."""

    @classmethod
    def from_query(cls, query: Any) -> "View":
        """From request.GET; what is not understood falls back to the default."""
        x = query.get("x", "step")
        return cls(
            x=x if x in AXES else "step",
            smooth=min(0.99, max(0.0, number_or_none(query.get("smooth")) or 0.0)),
            y="log" if query.get("y") == "log" else "linear",
            member=whole_or_none(query.get("member")),
        )


def shown_members(run: TrainingRun, view: View) -> list[RunMember]:
    """The members whose charts are drawn: the chosen one, or all."""
    members = list(run.members.all())
    chosen = [member for member in members if member.index == view.member]
    return chosen or members


def run_charts(run: TrainingRun, view: View) -> list[Chart]:
    """All charts of one run; they follow it while it learns. Of several members each chart shows one value, a line each.
    A run that ended before its first point has none."""
    members = shown_members(run, view)
    points = points_of(members, most=MOST_READ)
    if not any(points.values()) and not is_learning(run):
        return []
    following = _following(run, view, newest_step(points))
    return [
        chart_make(
            figure, view, figure_series(figure, points, view.x), summary=figure_summary(figure, points), **following
        )
        for figure in FIGURES
        if _is_shown(figure, run, points)
    ]


def _is_shown(figure: Figure, run: TrainingRun, points: dict[RunMember, list[dict[str, Any]]]) -> bool:
    """Whether the figure has points, or may get some: all while there are none, and what is measured at checkpoints."""
    if figure.id == "loss" or not any(points.values()) or any(_has(figure, own) for own in points.values()):
        return True
    return figure.is_sparse and run.spec.get("ce_contexts") != 0 and is_learning(run)


def _following(run: TrainingRun, view: View, after: int | None = None) -> dict[str, Any]:
    """How the charts of a run's page follow it: all at one address, knowing its points up to the step `after`. Those that
    are sent whole leave it to the others."""
    query = urlencode({"x": view.x} | ({} if view.member is None else {"member": view.member}))
    return {
        "follow_url": f"{reverse('training:points', args=[run.pk])}?{query}",
        "follow_after": after,
        "topic": run.topic,
    }


def newest_step(points: dict[RunMember, list[dict[str, Any]]]) -> int:
    """The last step that any member has a point of; 0 without one."""
    return max((own[-1]["step"] for own in points.values() if own), default=0)


def _has(figure: Figure, points: Sequence[dict[str, Any]]) -> bool:
    return any(point.get(name) is not None for point in points for name, _ in figure.values)


def figure_summary(figure: Figure, points: dict[RunMember, list[dict[str, Any]]]) -> str:
    """What a chart shows in one sentence: the way of one SAE, or between what several lie."""
    if len(points) == 1 or figure.is_shared:
        return _summary(figure, next(iter(points.values())))
    return spread_words(figure, {f"SAE {member.index}": own for member, own in points.items()})


def figure_series(figure: Figure, points: dict[RunMember, list[dict[str, Any]]], x: str) -> list[Series]:
    """One member, or a value that all share: all values of the figure. Several: its first value of each."""
    if len(points) == 1 or figure.is_shared:
        return _series(figure, next(iter(points.values())), x)
    name = figure.values[0][0]
    return [
        line_make(figure, f"SAE {member.index}", own, name, x, colour=member_colour(member))
        for member, own in points.items()
    ]


def member_colour(member: RunMember) -> int:
    """The colour of a member in every chart and table of its run's page."""
    return member.index % COLOURS + 1


def line_make(figure: Figure, words: str, points: Sequence[dict[str, Any]], name: str, x: str, **drawn: Any) -> Series:
    """One value of one member over the axis; points of early runs know no training time."""
    at = AXES[x][0]
    known = [p for p in points if at in p and not (figure.is_sparse and p.get(name) is None)]
    return Series(words, [p[at] for p in known], [p.get(name) for p in known], **drawn)


def member_words(member: RunMember) -> str:
    """A member in words: "2 · 15.resid_post 4608 × 32, seed 0"."""
    return f"{member.index} · {member.hook_site} {member.d_sae} × {compact(member.sparsity)}, seed {member.seed}"


def histogram_chart(run: TrainingRun, view: View) -> Chart | None:
    """Densities of the latents of the first shown member over time, as a heat map; None when an ended run has none."""
    member = shown_members(run, view)[0]
    series = _histogram_series(member)
    if not series.x and not is_learning(run):
        return None
    return Chart(
        id=DENSITIES,
        title="Densities over time",
        x_title="step",
        y_title="log₁₀ density",
        series=[series],
        help="How many latents fire on which share of tokens, over the last 500 to 1,000 steps. Latents that never fired are "
        "in no bin.",
        summary=_histogram_summary(member, series),
        **_following(run, view),
    )


def histogram_news(run: TrainingRun, view: View) -> tuple[Series, str]:
    """The map as it is now, and its summary."""
    member = shown_members(run, view)[0]
    series = _histogram_series(member)
    return series, _histogram_summary(member, series)


def _histogram_summary(member: RunMember, series: Series) -> str:
    count = f"{len(series.x)} histogram{'' if len(series.x) == 1 else 's'}"
    newest = f"{count}, the newest at step {series.x[-1]:,}." if series.x else "No histogram yet."
    return newest if len(member.run.members.all()) == 1 else f"SAE {member_words(member)}. {newest}"


def _histogram_series(member: RunMember) -> Series:
    """At most MOST_HISTOGRAMS columns, evenly thinned, the newest among them."""
    points = member.metric_points.filter(values__has_key=DENSITIES)
    rows = [(step, values[DENSITIES]) for step, values in points.values_list("step", "values")]
    rows = rows[:: -max(1, -(-len(rows) // MOST_HISTOGRAMS))][::-1]
    middles = [(low + high) / 2 for low, high in pairwise(HISTOGRAM_EDGES)]
    counts = [[histogram[bin_] for _, histogram in rows] for bin_ in range(len(middles))]
    return Series("latents", [step for step, _ in rows], middles, kind="heat", z=counts)


def is_learning(run: TrainingRun) -> bool:
    """Whether points may still come: then charts that have none yet are drawn empty, to be filled."""
    return run.job is not None and run.job.is_active


def pareto_chart(run: TrainingRun, view: View) -> Chart | None:
    """L0 against FVU of the shown members at the first one's hook site, which move while they learn, and of other finished
    ones there; None when an ended run knows neither."""
    members = _standing_members(run, view)
    if not members and not is_learning(run):
        return None
    first = shown_members(run, view)[0]
    others = list(
        RunMember.objects.filter(
            run__language_model=run.language_model_id,
            layer=first.layer,
            site=first.site,
            l0__isnull=False,
            fvu__isnull=False,
            run__ready_at__isnull=False,
        )
        .exclude(run=run)
        .select_related("run")
        .prefetch_related("run__members")[:MOST_NEIGHBOURS]
    )
    series = [
        _member_points(f"{words} runs", [o for o in others if o.architecture == key], colour=2 + at)
        for at, (key, words) in enumerate(NAMES)
    ]
    shown = [_member_points("this run", members, colour=1), *[each for each in series if each.x]]
    return Chart(
        id="pareto",
        title="Where this run stands",
        x_title="L0",
        y_title="FVU",
        series=shown,
        height=USUAL_HEIGHT + ROW_PX * max(0, len(shown) - 2),
        can_log_x=True,
        help="Each point is an SAE at this hook site: few latents and little unexplained variance, so down and left, is best. "
        "FVU is that of the last training tokens. A click opens the run.",
        summary=f"{len(others)} other finished SAEs at {first.hook_site} of {run.language_model}.",
        **_following(run, view),
    )


def pareto_news(run: TrainingRun, view: View) -> Series:
    """Where the shown members stand now: the series of `pareto_chart` that moves."""
    return _member_points("this run", _standing_members(run, view), colour=1)


def _standing_members(run: TrainingRun, view: View) -> list[RunMember]:
    """The shown members at the hook site of the first that know where they stand."""
    shown = shown_members(run, view)
    return [m for m in shown if m.hook_site == shown[0].hook_site and m.l0 is not None and m.fvu is not None]


def _member_points(name: str, members: Sequence[RunMember], *, colour: int) -> Series:
    return Series(
        name,
        [member.l0 for member in members],
        [member.fvu for member in members],
        kind="points",
        labels=[f"{_compared_words(member)}: L0 {member.l0:.1f}, FVU {member.fvu:.3f}" for member in members],
        links=[member.run.get_absolute_url() for member in members],
        colour=colour,
    )


def _compared_words(member: RunMember) -> str:
    name = f"{member.run_id} {member.run.name}"
    return name if len(member.run.members.all()) == 1 else f"{name} · {member_words(member)}"


def _series(figure: Figure, points: Sequence[dict[str, Any]], x: str) -> list[Series]:
    known = set().union(*points) if points else {name for name, _ in figure.values[:1]}
    return [line_make(figure, words, points, name, x) for name, words in figure.values if name in known]


def chart_make(figure: Figure, view: View, series: Sequence[Series], **known: Any) -> Chart:
    """A figure's chart as `view` wants it; of many lines each has fewer points."""
    return Chart(
        id=figure.id,
        title=figure.title,
        x_title=AXES[view.x][1],
        y_title=figure.unit,
        y_type=view.y,
        smooth=view.smooth,
        series=series,
        can_log_x=True,
        can_log_y=True,
        can_smooth=True,
        most_points=min(MOST_IN_LINE, max(LEAST_IN_LINE, MOST_DRAWN // max(1, len(series)))),
        help=figure.help,
        formula=figure.formula,
        **known,
    )


def spread_words(figure: Figure, points: dict[str, list[dict[str, Any]]]) -> str:
    """ "Now from 0.44 (SAE 2) to 0.8 (SAE 3)." """
    name = figure.values[0][0]
    known = []
    for words, own in points.items():
        values = [point[name] for point in own if point.get(name) is not None]
        known += [(values[-1], words)] if values else []
    if not known:
        return "No points yet."
    (least, at_least), (most, at_most) = min(known), max(known)
    if least == most:
        return f"Now {compact(least)} for {at_least if len(known) == 1 else 'all'}."
    return f"Now from {compact(least)} ({at_least}) to {compact(most)} ({at_most})."


def _summary(figure: Figure, points: Sequence[dict[str, Any]]) -> str:
    """ "FVU fell from 0.61 to 0.18 in 20,000 steps." """
    name = figure.values[0][0]
    known = [(p["step"], p[name]) for p in points if p.get(name) is not None]
    if len(known) < 2:
        return "No points yet." if not known else f"{figure.title} is {compact(known[0][1])} at step {known[0][0]:,}."
    (first_step, first), (last_step, last) = known[0], known[-1]
    verb = "fell" if last < first else "rose" if last > first else "stayed"
    if verb == "stayed":
        return f"{figure.title} stayed at {compact(last)}."
    words = f"{verb} from {compact(first)} to {compact(last)}"
    return f"{figure.title} {words} between steps {first_step:,} and {last_step:,}."
