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
from apps.datasets.models import Tokenization
from apps.jobs.states import State
from apps.presets.models import Preset
from apps.training import services
from apps.training.charts import (
    AXES,
    MOST_RUNS,
    View,
    compare_charts,
    histogram_chart,
    new_points,
    pareto_chart,
    pareto_points,
    run_charts,
    shown_members,
)
from apps.training.comparison import comparison_words, effective_words, option_rows
from apps.training.estimates import device_fits, training_estimate
from apps.training.figures import BY_ID
from apps.training.forms import train_form
from apps.training.live import live_context
from apps.training.models import TrainingRun
from apps.training.origins import origin_of
from apps.training.selectors import checkpoint_get, checkpoints_beyond, training_get, training_list
from apps.training.validating import expected_l0, tokens_there, warnings_of
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
    return spec_page(
        request,
        TrainSpec,
        services.training_start,
        "training/new.html",
        initial=_initial(request),
        form_class=train_form(),
        has_caches=ActivationCache.objects.filter(ready_at__isnull=False).exists()
        or Tokenization.objects.filter(ready_at__isnull=False).exists(),
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
    try:
        origin = origin_of(spec)
    except AppError as error:
        return render(request, "training/new.html#estimate", {"is_valid": False, "error": error})
    tokens = spec.steps * spec.batch_size
    there = tokens_there(origin)
    context = {
        "is_valid": True,
        "estimate": training_estimate(spec=spec, origin=origin),
        "fits": device_fits(spec=spec, origin=origin),
        "members": len(spec.members()),
        "tokens": tokens,
        "passes": tokens / there if there else None,
        "warnings": warnings_of(spec, origin),
        "band": expected_l0(spec, origin),
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
        "pareto": pareto_chart(run, view),
        "histogram": histogram_chart(shown_members(run, view)[0]),
        "options": option_rows([run]),
        "effective": effective_words(run),
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
    run, view = training_get(pk), View.from_query(request.GET)
    if figure == "pareto":
        return JsonResponse({"series": pareto_points(run, view), "replaces": True})
    if figure not in BY_ID:
        raise NotFound("chart", figure)
    try:
        after = float(request.GET.get("after", "-1"))
    except ValueError:
        raise AppError("bad_after", "after is no number.", "Give the last x that is known.", field="after") from None
    return JsonResponse({"series": new_points(run, figure, view, after)})


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


def _runs_asked_for(request: HttpRequest, most: int | None = MOST_RUNS) -> list[TrainingRun]:
    asked = request.POST if request.method == "POST" else request.GET
    ids = [*asked.getlist("run"), *asked.get("ids", "").split(",")]
    wanted = list(dict.fromkeys(int(pk) for pk in ids if pk.isdecimal()))
    if most is not None and len(wanted) > most:
        raise AppError("too_many_runs", f"{len(wanted)} runs are too many to tell apart.", f"Choose at most {most}.")
    rows = TrainingRun.objects.select_related("activation_cache", "language_model").prefetch_related("members")
    runs = rows.in_bulk(wanted)
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
    services.checkpoint_delete(checkpoint=checkpoint_get(run, checkpoint))
    return redirect(run)


def checkpoint_retention(request: HttpRequest, pk: int) -> HttpResponse:
    """Which checkpoints would go if ?keep= stayed, then their deletion."""
    run = training_get(pk)
    asked = request.POST if request.method == "POST" else request.GET
    keep = int(asked["keep"]) if asked.get("keep", "").isdecimal() else 1
    and_recent = asked.get("recent") == "1"
    rows = checkpoints_beyond(run, keep=keep, and_recent=and_recent)
    if request.method == "POST":
        services.checkpoints_delete(checkpoints=rows)
        return redirect(run)
    context = {
        "run": run,
        "keep": keep,
        "and_recent": and_recent,
        "rows": rows,
        "bytes": sum(row.bytes for row in rows),
    }
    return render(request, "training/retention.html", context)


def delete_several(request: HttpRequest) -> HttpResponse:
    """Ask about the runs of ?run=3&run=7, then delete those that can be and say which stay."""
    runs = _runs_asked_for(request, most=None)
    if request.method != "POST":
        return render(request, "training/delete_several.html", {"runs": runs, "is_asked": True})
    freed, kept = services.trainings_delete(ids=[run.pk for run in runs])
    left = [(run, kept[run.pk]) for run in runs if run.pk in kept]
    if not left:
        return redirect("training:list")
    return render(
        request, "training/delete_several.html", {"kept": left, "freed": freed, "gone": len(runs) - len(left)}
    )
