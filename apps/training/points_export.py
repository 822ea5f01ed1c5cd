"""All points of a run's charts as one CSV table."""

from collections.abc import Iterator
from typing import Any

from apps.core.csv_tables import csv_pieces
from apps.training.charts import DENSITIES
from apps.training.figures import FIGURES
from apps.training.models import MetricPoint, TrainingRun

ROWS_AT_ONCE = 500
WHICH = ("member", "hook_site", "d_sae", "sparsity", "seed", "step", "tokens", "time_s")
VALUES = tuple(dict.fromkeys(name for figure in FIGURES for name, _ in figure.values))
COLUMNS = (*WHICH, *VALUES, DENSITIES)
"""A row for each point of each SAE; the histogram is its counts with spaces between, from 1e-7 to 1."""


def points_exported(run: TrainingRun, member: int | None = None, *, for_spreadsheet: bool = False) -> Iterator[str]:
    """The table's pieces, by step, of all SAEs or of the one with this index. Unlike the charts nothing is thinned."""
    points = MetricPoint.objects.filter(member__run=run).select_related("member").order_by("step", "member__index")
    if member is not None:
        points = points.filter(member__index=member)
    rows = map(_row, points.iterator(chunk_size=ROWS_AT_ONCE))
    return csv_pieces(COLUMNS, rows, for_spreadsheet=for_spreadsheet)


def _row(point: MetricPoint) -> list[Any]:
    member, values = point.member, point.values
    which = (member.index, member.hook_site, member.d_sae, member.sparsity, member.seed, point.step)
    counts = " ".join(map(str, values.get(DENSITIES) or ()))
    return [*which, *(values.get(name) for name in ("tokens", "time_s", *VALUES)), counts]
