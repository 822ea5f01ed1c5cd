"""The charts of training runs, from their metric points: of one run while it learns, of several side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.core.charts import Chart, Series
from apps.core.templatetags.studio import compact
from apps.training.models import TrainingRun
from apps.training.selectors import metric_points, with_time

AXES = {"step": ("step", "step"), "tokens": ("tokens", "tokens"), "time": ("time_s", "training time (s)")}
"""?x= → (name in the points, words on the axis)."""
MOST_RUNS = 10
MOST_NEIGHBOURS = 200


@dataclass(frozen=True)
class Figure:
    """One chart of a run: which values it shows and what they mean."""

    id: str
    title: str
    unit: str
    values: tuple[tuple[str, str], ...]
    """(name in the points, words in the legend); those that a run has not are left out."""
    help: str
    formula: str = ""


FIGURES = (
    Figure(
        "loss",
        "Loss",
        "loss",
        (("loss", "loss"), ("mse", "reconstruction"), ("l1", "L1 penalty"), ("aux", "AuxK")),
        "Mean over the steps since the last point, on training tokens: the whole loss and its parts, coefficients included.",
        "sum over d_in, mean over tokens",
    ),
    Figure(
        "fvu",
        "FVU",
        "FVU",
        (("fvu", "FVU"),),
        "Share of variance that the SAE does not explain, on training tokens since the last point. Lower is better.",
        "Σ‖x − x̂‖² / Σ‖x − mean(x)‖²",
    ),
    Figure(
        "l0",
        "L0",
        "latents per token",
        (("l0", "L0"),),
        "Latents that fire for a token, on average. Fewer are easier to read, more reconstruct better.",
        "mean over tokens of #{i : fᵢ > 0}",
    ),
    Figure(
        "dead_share",
        "Dead latents",
        "share",
        (("dead_share", "dead share"),),
        "Share of latents that have not fired for the number of tokens set as “dead after”.",
    ),
    Figure(
        "learning_rate", "Learning rate", "learning rate", (("learning_rate", "learning rate"),), "Adam's step size."
    ),
    Figure(
        "tokens_per_s",
        "Speed",
        "tokens/s",
        (("tokens_per_s", "tokens/s"),),
        "Training tokens in each second since the last point.",
    ),
)
BY_ID = {figure.id: figure for figure in FIGURES}
COMPARED = ("fvu", "l0", "loss", "dead_share")


@dataclass(frozen=True)
class View:
    """How charts are looked at, as the URL says it."""

    x: str = "step"
    smooth: float = 0.0
    y: str = "linear"

    @classmethod
    def from_query(cls, query: Any) -> "View":
        """From request.GET; what is not understood falls back to the default."""
        try:
            smooth = min(0.99, max(0.0, float(query.get("smooth") or 0)))
        except ValueError:
            smooth = 0.0
        x = query.get("x", "step")
        return cls(x=x if x in AXES else "step", smooth=smooth, y="log" if query.get("y") == "log" else "linear")


def run_charts(run: TrainingRun, view: View) -> list[Chart]:
    """All charts of one run; they follow it while it learns."""
    points = _points(run, view.x)
    return [
        _chart(
            figure,
            view,
            _series(figure, points, view.x),
            summary=_summary(figure, points),
            follow_url=f"{reverse('training:points', args=[run.pk, figure.id])}?{urlencode({'x': view.x})}",
            topic=run.topic,
        )
        for figure in FIGURES
    ]


def new_points(run: TrainingRun, figure_id: str, x: str, after: float) -> list[dict[str, Any]]:
    """What a chart has not seen yet: [{"name", "x", "y"}] with x > after, in the units of the axis."""
    step = {"step": after, "tokens": after / run.spec["batch_size"]}.get(x)
    points = with_time(metric_points(run)) if step is None else metric_points(run, after=int(step))
    name = AXES[x][0]
    fresh = [point for point in points if point[name] > after]
    return [{"name": s.name, "x": list(s.x), "y": list(s.y)} for s in _series(BY_ID[figure_id], fresh, x)]


def compare_charts(runs: Sequence[TrainingRun], view: View) -> list[Chart]:
    """The same value of several runs in one chart, one colour for each run."""
    points = [(run, _points(run, view.x)) for run in runs]
    name = AXES[view.x][0]
    return [
        _chart(
            BY_ID[figure_id],
            view,
            [
                Series(
                    f"{run.pk} {run.name}", [p[name] for p in ps], [p.get(BY_ID[figure_id].values[0][0]) for p in ps]
                )
                for run, ps in points
                if ps
            ],
        )
        for figure_id in COMPARED
    ]


def pareto_chart(run: TrainingRun) -> Chart | None:
    """L0 against FVU of this run and of others at the same hook site of the same model; None before both are known."""
    if run.l0 is None or run.fvu is None:
        return None
    cache = run.activation_cache
    others = TrainingRun.objects.filter(
        activation_cache__language_model=cache.language_model_id,
        activation_cache__layer=cache.layer,
        activation_cache__site=cache.site,
        l0__isnull=False,
        fvu__isnull=False,
        ready_at__isnull=False,
    ).exclude(pk=run.pk)[:MOST_NEIGHBOURS]
    names = [("topk", "TopK"), ("standard", "Standard")]
    series = [_run_points(f"{words} runs", [o for o in others if o.architecture == key]) for key, words in names]
    return Chart(
        id="pareto",
        title="Where this run stands",
        x_title="L0",
        y_title="FVU",
        series=[_run_points("this run", [run]), *[s for s in series if s.x]],
        can_log_x=True,
        help="Each point is a run at this hook site: few latents and little unexplained variance, so down and left, is best.",
        summary=f"{len(others)} finished runs at {cache.hook_site} of {cache.language_model} to compare with.",
    )


def _run_points(name: str, runs: Sequence[TrainingRun]) -> Series:
    return Series(
        name,
        [run.l0 for run in runs],
        [run.fvu for run in runs],
        kind="points",
        labels=[f"{run.name}: L0 {run.l0:.1f}, FVU {run.fvu:.3f}" for run in runs],
        links=[run.get_absolute_url() for run in runs],
    )


def _points(run: TrainingRun, x: str) -> list[dict[str, Any]]:
    points = metric_points(run)
    return with_time(points) if x == "time" else points


def _series(figure: Figure, points: Sequence[dict[str, Any]], x: str) -> list[Series]:
    known = set().union(*points) if points else {name for name, _ in figure.values[:1]}
    at = [point[AXES[x][0]] for point in points]
    return [Series(words, at, [p.get(name) for p in points]) for name, words in figure.values if name in known]


def _chart(figure: Figure, view: View, series: Sequence[Series], **known: Any) -> Chart:
    return Chart(
        id=figure.id,
        title=figure.title,
        x_title=AXES[view.x][1],
        y_title=figure.unit,
        y_type=view.y,
        smooth=view.smooth,
        series=series,
        can_log_y=True,
        can_smooth=True,
        help=figure.help,
        formula=figure.formula,
        **known,
    )


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
