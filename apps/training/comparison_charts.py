"""Charts of several runs over each other: a colour for each run, a dash for each further SAE of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.core.asking import whole_numbers
from apps.core.charts import USUAL_HEIGHT, Chart, Series
from apps.training.charts import (
    COLOURS,
    MOST_READ,
    ROW_PX,
    View,
    chart_make,
    is_learning,
    line_make,
    newest_step,
    spread_words,
)
from apps.training.figures import BY_ID, Figure
from apps.training.models import RunMember, TrainingRun
from apps.training.selectors import points_of

MOST_RUNS = 10
MOST_LINES = 24
"""Lines in one chart."""
MOST_LEGEND_ROWS = 12
"""Of a whole number in an address: more do not fit into the database."""
COMPARED = ("fvu", "l0", "loss", "dead_share")
DASHES = ("", "dash", "dot", "dashdot", "longdash", "longdashdot")

Points = list[dict[str, Any]]


def colours_of(among: Sequence[int]) -> dict[int, int]:
    """Run id → the colour it has in every chart and table of the page.

    `among` are the runs that the comparison began with: a run keeps its colour when others are left out or change places.
    Runs that joined later stand at its end.
    """
    return {pk: place % COLOURS + 1 for place, pk in enumerate(among)}


def compare_charts(runs: Sequence[TrainingRun], view: View, colours: Mapping[int, int]) -> list[Chart]:
    """The same value of several runs in one chart, a line for each SAE of each run in the run's colour. They follow the runs
    that still learn."""
    lines = _lines(runs, colours)
    known = {member: own for run in runs for member, own in _points_of_run(run, lines).items()}
    following = _following(runs, view, among=tuple(colours), known=known)
    return [
        chart_make(
            figure,
            view,
            _series(figure, view, lines, known),
            summary=spread_words(figure, {_short_words(member): known[member] for member in lines}),
            height=USUAL_HEIGHT + ROW_PX * max(0, min(MOST_LEGEND_ROWS, len(lines)) - 2),
            **following,
        )
        for figure in (BY_ID[figure_id] for figure_id in COMPARED)
    ]


def compare_news(
    runs: Sequence[TrainingRun], view: View, colours: Mapping[int, int], after: Mapping[int, int]
) -> dict[str, Any]:
    """{"after", "charts"} as for one run (news.py): points of the runs that still learn, each from the step on that `after`
    has for it. "after" goes back as it came: "3-120,7-40" are runs and their newest steps."""
    lines = _lines(runs, colours)
    learning = [run for run in runs if run.pk in after]
    known = {m: own for run in learning for m, own in _points_of_run(run, lines, since=after[run.pk]).items()}
    charts = {
        name: {"series": [line.to_json() for line in _series(BY_ID[name], view, lines, known) if line.x]}
        for name in COMPARED
    }
    newest = {pk: max(step, after[pk]) for pk, step in _newest(learning, known).items()}
    return {"after": after_words(newest), "charts": {name: news for name, news in charts.items() if news["series"]}}


def after_words(after: Mapping[int, int]) -> str:
    """{3: 120, 7: 40} as "3-120,7-40"."""
    return ",".join(f"{pk}-{step}" for pk, step in after.items())


def after_read(words: str) -> dict[int, int]:
    """The opposite of `after_words`; what is not understood is left out."""
    pairs = [whole_numbers(part.split("-", 1)) for part in words.split(",")]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _lines(runs: Sequence[TrainingRun], colours: Mapping[int, int]) -> dict[RunMember, dict[str, Any]]:
    """The SAEs that have a line, each with how it is drawn."""
    members = [member for run in runs for member in run.members.all()][:MOST_LINES]
    return {member: _drawn(member, runs, colours) for member in members}


def _series(
    figure: Figure, view: View, lines: Mapping[RunMember, dict[str, Any]], known: Mapping[RunMember, Points]
) -> list[Series]:
    name = figure.values[0][0]
    return [
        line_make(figure, _line_words(member), known[member], name, view.x, **drawn)
        for member, drawn in lines.items()
        if member in known
    ]


def _following(
    runs: Sequence[TrainingRun], view: View, *, among: Sequence[int], known: Mapping[RunMember, Points]
) -> dict[str, Any]:
    """How the charts follow the runs that still learn; nothing when none does."""
    learning = [run for run in runs if is_learning(run)]
    if not learning:
        return {}
    query = {"ids": ",".join(str(run.pk) for run in runs), "among": ",".join(map(str, among)), "x": view.x}
    return {
        "follow_url": f"{reverse('training:compare-points')}?{urlencode(query)}",
        "follow_after": after_words(_newest(learning, known)),
        "topic": " ".join(run.topic for run in learning),
    }


def _newest(runs: Sequence[TrainingRun], known: Mapping[RunMember, Points]) -> dict[int, int]:
    """Run id → the newest step that its points reach."""
    return {run.pk: newest_step({m: own for m, own in known.items() if m.run_id == run.pk}) for run in runs}


def _drawn(member: RunMember, runs: Sequence[TrainingRun], colours: Mapping[int, int]) -> dict[str, Any]:
    """The run's colour; its dash tells apart SAEs of a run, and runs that had to take the same colour."""
    colour = colours[member.run_id]
    alike = [run.pk for run in sorted(runs, key=lambda run: run.pk) if colours[run.pk] == colour]
    return {"colour": colour, "dash": DASHES[(alike.index(member.run_id) + member.index) % len(DASHES)]}


def _points_of_run(
    run: TrainingRun, members: Iterable[RunMember], *, since: int | None = None
) -> dict[RunMember, Points]:
    own = [member for member in members if member.run_id == run.pk]
    return points_of(own, most=MOST_READ, since=since) if own else {}


def _line_words(member: RunMember) -> str:
    """In the legend: a run of one SAE by its name, others by their numbers."""
    is_alone = len(member.run.members.all()) == 1
    return f"{member.run_id} {member.run.name}" if is_alone else _short_words(member)


def _short_words(member: RunMember) -> str:
    words = f"run {member.run_id}"
    return words if len(member.run.members.all()) == 1 else f"{words}, SAE {member.index}"
