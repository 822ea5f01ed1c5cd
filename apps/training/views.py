"""Pages of training runs: the list, a new one, one while it learns, several side by side."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from apps.activations.models import ActivationCache
from apps.core.errors import AppError, NotFound
from apps.core.pages import delete_page, spec_page
from apps.core.spec_forms import spec_form
from apps.core.storage import data_path, folder_bytes
from apps.jobs.states import State
from apps.presets.models import Preset
from apps.training import services
from apps.training.charts import AXES, BY_ID, MOST_RUNS, View, compare_charts, new_points, pareto_chart, run_charts
from apps.training.comparison import comparison_words, option_rows
from apps.training.estimates import device_fits, training_estimate
from apps.training.live import live_context
from apps.training.models import Checkpoint, TrainingRun
from apps.training.selectors import training_get, training_list
from apps.training.what_if import USUAL_EXPANSION, what_if
from workers.engine.specs.training import ARCHITECTURES, TrainSpec

PAGE_SIZE = 25


@require_GET
def list_page(request: HttpRequest) -> HttpResponse:
    """All runs, newest first; up to ten can be chosen for a comparison."""
    chosen = {name: request.GET.get(name, "") for name in ("q", "architecture", "state")}
    runs = training_list(query=chosen["q"], architecture=chosen["architecture"], state=chosen["state"])
    page = Paginator(runs, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "topics": [run.topic for run in page if run.ready_at is None],
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "architectures": [(value, value) for value, _ in ARCHITECTURES],
        "states": State.choices,
    }
    return render(request, "training/list.html", context)


def new_page(request: HttpRequest) -> HttpResponse:
    """A new run, prefilled by ?activation_cache=, ?run= (the settings of an earlier one) or ?preset=."""
    presets = Preset.objects.filter(kind=Preset.Kind.TRAINING)
    return spec_page(
        request,
        TrainSpec,
        services.training_start,
        "training/new.html",
        initial=_initial(request),
        presets=presets,
        has_caches=ActivationCache.objects.filter(ready_at__isnull=False).exists(),
    )


def _initial(request: HttpRequest) -> dict[str, Any]:
    """What the form starts with: d_sae follows the cache's width unless an earlier run or a preset says otherwise."""
    initial: dict[str, Any] = {}
    pk = request.GET.get("activation_cache", "")
    cache = ActivationCache.objects.filter(pk=pk).first() if pk.isdecimal() else None
    if cache is not None and cache.d_in:
        initial["d_sae"] = USUAL_EXPANSION * cache.d_in
    preset = request.GET.get("preset", "")
    if preset.isdecimal():
        initial |= (
            Preset.objects.filter(pk=preset, kind=Preset.Kind.TRAINING).values_list("spec", flat=True).first() or {}
        )
    run = request.GET.get("run", "")
    if run.isdecimal():
        initial |= {**training_get(int(run)).spec, "name": ""}
    return initial


@require_POST
def estimate_part(request: HttpRequest) -> HttpResponse:
    """Memory and time of the run that the form describes, asked for while it is filled in."""
    form = spec_form(TrainSpec)(request.POST)
    if not form.is_valid():
        return render(request, "training/new.html#estimate", {"is_valid": False})
    spec = form.spec()
    cache = ActivationCache.objects.get(pk=spec.activation_cache)
    estimate = training_estimate(spec=spec, d_in=cache.d_in, cache_bytes=cache.bytes)
    context = {
        "is_valid": True,
        "estimate": estimate,
        "fits": device_fits(spec=spec, d_in=cache.d_in, needed=estimate.device_bytes),
        "tokens": spec.steps * spec.batch_size,
        "passes": spec.steps * spec.batch_size / cache.tokens if cache.tokens else None,
    }
    return render(request, "training/new.html#estimate", context)


@require_GET
def what_if_page(request: HttpRequest) -> HttpResponse:
    """Memory of a training that is only thought of, as the query string sets it; the part alone for the model's page."""
    template = "training/what_if.html#part" if request.htmx else "training/what_if.html"
    return render(request, template, what_if(request.GET))


@require_GET
def detail_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: charts, numbers, settings, history, checkpoints."""
    run = training_get(pk)
    view = View.from_query(request.GET)
    context = {
        **live_context(run),
        "view": view,
        "axes": [(name, words) for name, (_, words) in AXES.items()],
        "charts": run_charts(run, view),
        "pareto": pareto_chart(run),
        "options": option_rows([run]),
        "command": command_of(run),
    }
    return render(request, "training/detail.html", context)


def command_of(run: TrainingRun) -> str:
    """The command that starts the same run again; options with their default are left out."""
    defaults = {name: field.initial for name, field in spec_form(TrainSpec).base_fields.items()}
    given = {name: value for name, value in run.spec.items() if name in defaults and value != defaults[name]}
    words = [
        f"--{name.replace('_', '-')} {value}" for name, value in given.items() if name != "name" and value is not None
    ]
    return " ".join(["manage.py train", *words])


@require_GET
def points(request: HttpRequest, pk: int, figure: str) -> JsonResponse:
    """New points of one chart: ?after= in the units of ?x=."""
    if figure not in BY_ID:
        raise NotFound("chart", figure)
    try:
        after = float(request.GET.get("after", "-1"))
    except ValueError:
        raise AppError("bad_after", "after is no number.", "Give the last x that is known.", field="after") from None
    view = View.from_query(request.GET)
    return JsonResponse({"series": new_points(training_get(pk), figure, view.x, after)})


@require_GET
def compare_page(request: HttpRequest) -> HttpResponse:
    """Up to ten runs over each other: ?ids=3,7 or ?run=3&run=7; ?all=1 also lists settings that are equal."""
    runs = _runs_asked_for(request)
    view = View.from_query(request.GET)
    show_all = request.GET.get("all") == "1"
    rows = option_rows(runs) if runs else []
    context = {
        "runs": runs,
        "ids": ",".join(str(run.pk) for run in runs),
        "view": view,
        "axes": [(name, words) for name, (_, words) in AXES.items()],
        "charts": compare_charts(runs, view),
        "rows": rows if show_all else [row for row in rows if row.differs],
        "show_all": show_all,
        "words": comparison_words(runs) if len(runs) > 1 else [],
    }
    return render(request, "training/compare.html", context)


def _runs_asked_for(request: HttpRequest) -> list[TrainingRun]:
    ids = [*request.GET.getlist("run"), *request.GET.get("ids", "").split(",")]
    wanted = list(dict.fromkeys(int(pk) for pk in ids if pk.isdecimal()))
    if len(wanted) > MOST_RUNS:
        raise AppError(
            "too_many_runs", f"{len(wanted)} runs are too many to tell apart.", f"Choose at most {MOST_RUNS}."
        )
    runs = TrainingRun.objects.select_related("activation_cache__language_model").in_bulk(wanted)
    return [runs[pk] for pk in wanted if pk in runs]


@require_POST
def rename(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the run another name."""
    run = training_get(pk)
    services.training_rename(run=run, name=request.POST.get("name", ""))
    return redirect(run)


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete the run with its charts and checkpoints."""
    run = training_get(pk)
    run.bytes = sum(folder_bytes(data_path("jobs", job)) for job in run.jobs.values_list("pk", flat=True))
    return delete_page(
        request,
        run,
        lambda: services.training_delete(run=run),
        back_url=reverse("training:list"),
        note="Its charts, history and checkpoints go with it.",
    )


@require_POST
def checkpoint_delete(request: HttpRequest, pk: int, checkpoint: int) -> HttpResponse:
    """Delete one checkpoint of the run."""
    run = training_get(pk)
    row = Checkpoint.objects.filter(run=run, pk=checkpoint).first()
    if row is None:
        raise NotFound("checkpoint", checkpoint)
    services.checkpoint_delete(checkpoint=row)
    return redirect(run)
