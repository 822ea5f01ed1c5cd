"""How fast earlier runs trained: the time before their first point, and the speed from there to their last.

The two differ: loading a model and compiling kernels take as long for ten steps as for a million.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Max, Min, Q

from apps.training.models import MetricPoint, TrainingRun


@dataclass(frozen=True)
class Pace:
    """Seconds before the first point of the charts, and tokens a second after it, checkpoints included."""

    start_s: float
    tokens_per_s: float


def paces_of(runs: Sequence[TrainingRun]) -> list[Pace]:
    """The pace of each run; of one whose points do not tell it (too few, or from before they had a time) the speed over all."""
    ends = MetricPoint.objects.filter(member__run__in=runs, member__index=0).order_by().values("member__run")
    asked = Q()
    for row in ends.annotate(first=Min("step"), last=Max("step")):
        asked |= Q(member__run=row["member__run"], step__in=(row["first"], row["last"]))
    found: dict[int, list[dict]] = {}
    if asked:
        points = MetricPoint.objects.filter(asked, member__index=0).order_by("step")
        for pk, values in points.values_list("member__run", "values"):
            found.setdefault(pk, []).append(values)
    return [_pace(found.get(run.pk, []), run.tokens_per_s) for run in runs]


def _pace(points: list[dict], overall: float) -> Pace:
    times = [point.get("time_s") for point in points]
    if len(times) < 2 or None in times or times[-1] <= times[0]:
        return Pace(0.0, overall)
    return Pace(times[0], (points[-1]["tokens"] - points[0]["tokens"]) / (times[-1] - times[0]))
