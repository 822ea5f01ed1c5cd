"""All features of an SAE in one picture: density against maximum, the dead beside it, the dense marked."""

from dataclasses import dataclass

from django.urls import reverse

from apps.core.charts import Chart, Series
from apps.saes.models import Sae

MOST_LABELLED = 20_000
"""Of more points the pointer says the number alone: labels would be larger than the picture."""
DENSE = 0.1
"""Above this density a feature is seldom readable."""


@dataclass(frozen=True)
class Overview:
    """The chart, and how many features it leaves out or marks."""

    chart: Chart
    features: int
    dead: int
    dense: int


def overview(sae: Sae) -> Overview | None:
    """None before a feature run."""
    rows = list(sae.features.values_list("index", "label", "density", "maximum").order_by("index"))
    if not rows:
        return None
    alive = [row for row in rows if row[2] > 0]
    dense = sum(row[2] > DENSE for row in alive)
    return Overview(_chart(sae, alive), len(rows), len(rows) - len(alive), dense)


def _chart(sae: Sae, alive: list[tuple[int, str, float, float]]) -> Chart:
    labels = [
        f"{index}{f' {label}' if label else ''}<br>density {density:.3g}, max {maximum:.3g}"
        for index, label, density, maximum in alive
    ]
    indices = [str(index) for index, *_ in alive]
    list_url = reverse("features:list", args=[sae.pk])
    points = Series(
        "features",
        [row[2] for row in alive],
        [row[3] for row in alive],
        kind="points",
        labels=labels if len(alive) <= MOST_LABELLED else indices,
        links=[f"{index}/" for index in indices],
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
        summary=f"{len(alive):,} features that fire.",
        link_base=list_url,
        select_url=reverse("features:selected", args=[sae.pk]),
    )
