"""Charts of several runs over each other: a colour for each run, a dash for each further SAE of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.core.charts import USUAL_HEIGHT, Chart
from apps.training.charts import COLOURS, MOST_READ, ROW_PX, View, chart_make, line_make, spread_words
from apps.training.figures import BY_ID
from apps.training.models import RunMember, TrainingRun
from apps.training.selectors import points_of

MOST_RUNS = 10
MOST_LINES = 24
"""Lines in one chart."""
MOST_LEGEND_ROWS = 12
COMPARED = ("fvu", "l0", "loss", "dead_share")
DASHES = ("", "dash", "dot", "dashdot", "longdash", "longdashdot")


def colours_of(runs: Sequence[TrainingRun], among: Sequence[int]) -> dict[int, int]:
    """Run id → the colour it has in every chart and table of the page.

    `among` are the runs that the comparison began with: a run keeps its colour when others are left out or change places.
    Runs that joined later stand at its end.
    """
    return {run.pk: among.index(run.pk) % COLOURS + 1 for run in runs}


def compare_charts(runs: Sequence[TrainingRun], view: View, colours: Mapping[int, int]) -> list[Chart]:
    """The same value of several runs in one chart, a line for each SAE of each run in the run's colour."""
    members = [member for run in runs for member in run.members.all()][:MOST_LINES]
    known = {member: own for run in runs for member, own in _points_of_run(run, members).items()}
    short = {_short_words(member): known[member] for member in members}
    drawn = {member: _drawn(member, runs, colours) for member in members}
    return [
        chart_make(
            figure,
            view,
            [
                line_make(figure, _line_words(member), known[member], figure.values[0][0], view.x, **drawn[member])
                for member in members
            ],
            summary=spread_words(figure, short),
            height=USUAL_HEIGHT + ROW_PX * max(0, min(MOST_LEGEND_ROWS, len(members)) - 2),
        )
        for figure in (BY_ID[figure_id] for figure_id in COMPARED)
    ]


def _drawn(member: RunMember, runs: Sequence[TrainingRun], colours: Mapping[int, int]) -> dict[str, Any]:
    """The run's colour; its dash tells apart SAEs of a run, and runs that had to take the same colour."""
    colour = colours[member.run_id]
    alike = [run.pk for run in sorted(runs, key=lambda run: run.pk) if colours[run.pk] == colour]
    return {"colour": colour, "dash": DASHES[(alike.index(member.run_id) + member.index) % len(DASHES)]}


def _points_of_run(run: TrainingRun, members: Sequence[RunMember]) -> dict[RunMember, list[dict[str, Any]]]:
    own = [member for member in members if member.run_id == run.pk]
    return points_of(own, most=MOST_READ) if own else {}


def _line_words(member: RunMember) -> str:
    """In the legend: a run of one SAE by its name, others by their numbers."""
    is_alone = len(member.run.members.all()) == 1
    return f"{member.run_id} {member.run.name}" if is_alone else _short_words(member)


def _short_words(member: RunMember) -> str:
    words = f"run {member.run_id}"
    return words if len(member.run.members.all()) == 1 else f"{words}, SAE {member.index}"
