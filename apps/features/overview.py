"""All features of an SAE in one picture: density against maximum, the dead beside it, the dense marked."""

from dataclasses import dataclass

import numpy as np
from django.urls import reverse

from apps.core.charts import Chart, Series
from apps.saes.models import Sae
from workers.engine.specs.features import DENSE

CELLS = (240, 160)
"""Across and up: of the features in one cell the most frequent is drawn. More points than that cover each other, and the chart
draws each as an element of the page, since Plotly's faster points compile code, which the page's security policy forbids."""
Row = tuple[int, str, float, float]
"""Index, label, density, maximum."""


@dataclass(frozen=True)
class Overview:
    """The chart, and how many features it leaves out or marks."""

    chart: Chart
    features: int
    dead: int
    dense: int
    tokens: int | None
    """Positions that the newest feature run counted on."""


def overview(sae: Sae) -> Overview | None:
    """None before a feature run."""
    rows = list(sae.features.values_list("index", "label", "density", "maximum").order_by("index"))
    if not rows:
        return None
    alive = [row for row in rows if row[2] > 0 and row[3] > 0]
    dense = sum(row[2] > DENSE for row in alive)
    run = sae.feature_runs.filter(ready_at__isnull=False).first()
    return Overview(_chart(sae, alive), len(rows), len(rows) - len(alive), dense, run.tokens if run else None)


def _one_for_each_cell(alive: list[Row]) -> list[tuple[Row, int]]:
    """The features to draw, each with how many more lie in its cell; cells are even on the logarithms."""
    if not alive:
        return []
    cells = np.zeros(len(alive), np.int64)
    for column, parts in zip((2, 3), CELLS):
        logs = np.log([row[column] for row in alive])
        width = max(float(np.ptp(logs)), 1e-9) / parts
        cells = cells * parts + np.minimum(((logs - logs.min()) / width).astype(np.int64), parts - 1)
    by_density = np.argsort([-row[2] for row in alive], kind="stable")
    _, first, counts = np.unique(cells[by_density], return_index=True, return_counts=True)
    return [(alive[by_density[at]], int(count) - 1) for at, count in zip(first, counts)]


def _chart(sae: Sae, alive: list[Row]) -> Chart:
    drawn = _one_for_each_cell(alive)
    labels = [
        f"{index}{f' {label}' if label else ''}<br>density {density:.3g}, max {maximum:.3g}"
        f"{f'<br>{others:,} more at this place' if others else ''}"
        for (index, label, density, maximum), others in drawn
    ]
    list_url = reverse("features:list", args=[sae.pk])
    points = Series(
        "features",
        [row[2] for row, _ in drawn],
        [row[3] for row, _ in drawn],
        kind="points",
        labels=labels,
        links=[f"{row[0]}/" for row, _ in drawn],
    )
    return Chart(
        id="feature-overview",
        title="Density and strength of its features",
        x_title="density, share of positions",
        y_title="max activation",
        x_type="log",
        y_type="log",
        series=[points],
        can_log_x=True,
        can_log_y=True,
        height=340,
        help="Each point is a feature that fires. Far to the right are features that fire almost everywhere, far to the left "
        "those that a longer text would tell more about. A click opens the feature, a box drawn over points lists them.",
        summary=f"{len(alive):,} features that fire."
        + (
            f" Where several lie on one place, one stands for them: {len(drawn):,} points."
            if len(drawn) < len(alive)
            else ""
        ),
        link_base=list_url,
        select_url=reverse("features:selected", args=[sae.pk]),
    )
