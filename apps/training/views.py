"""Pages of training runs: the list, a new one, one while it learns, several side by side."""

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from apps.activations.models import ActivationCache
from apps.core.asking import names_require, whole_asked, whole_numbers, whole_or_none
from apps.core.errors import AppError
from apps.core.pages import delete_page, spec_page
from apps.core.spec_forms import SpecForm, spec_form
from apps.core.storage import data_path, folder_bytes
from apps.datasets.models import Tokenization
from apps.jobs.states import State
from apps.presets.models import Preset
from apps.presets.selectors import preset_asked
from apps.training import services
from apps.training.api import training_filters
from apps.training.charts import AXES, View, histogram_chart, is_learning, pareto_chart, run_charts
from apps.training.comparison import RESULTS, command_of, comparison_words, effective_words, option_rows, settings_of
from apps.training.comparison_charts import (
    MOST_RUNS,
    after_read,
    colours_of,
    compare_charts,
    compare_news,
)
from apps.training.earlier import earlier_saes, expected_l0
from apps.training.estimates import device_fits, training_estimate
from apps.training.forms import train_form
from apps.training.live import live_context
from apps.training.models import TrainingRun
from apps.training.news import chart_news
from apps.training.origins import origin_of
from apps.training.selectors import (
    checkpoint_get,
    checkpoints_beyond,
    stays_because,
    training_get,
    training_list,
    trainings_of,
)
from apps.training.validating import special_words, sweep_require_distinct, tokens_there, warnings_of
from apps.training.what_if import USUAL_EXPANSION, what_if
from apps.training.words import ARCHITECTURE_NAMES
from workers.engine.specs.base import spec_load
from workers.engine.specs.training import TrainSpec

PAGE_SIZE = 25
MOST_OFFERED = 50
"""Newest runs to choose from when another one is compared."""


@require_GET
def list_page(request: HttpRequest) -> HttpResponse:
    """All runs, newest first; up to ten can be chosen for a comparison."""
    names_require(request.GET, ("q", "architecture", "state", "page"))
    chosen = {name: request.GET.get(name, "") for name in ("q", "architecture", "state")}
    runs = training_list(query=chosen["q"], **training_filters(chosen))
    page = Paginator(runs, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "topics": [run.topic for run in page if run.ready_at is None],
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "architectures": list(ARCHITECTURE_NAMES.items()),
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
        from_run=_run_asked_for(request),
        has_caches=ActivationCache.objects.filter(ready_at__isnull=False).exists()
        or Tokenization.objects.filter(ready_at__isnull=False).exists(),
    )


def _initial(request: HttpRequest) -> dict[str, Any]:
    """What the form starts with: d_sae follows the width of the cache that is named, or the only one, unless an earlier run
    or a preset says otherwise."""
    initial: dict[str, Any] = {}
    pk, caches = (
        whole_or_none(request.GET.get("activation_cache")),
        ActivationCache.objects.filter(ready_at__isnull=False),
    )
    named = caches if pk is None else caches.filter(pk=pk)
    if len(found := list(named[:2])) == 1:
        initial["d_sae"] = USUAL_EXPANSION * found[0].d_in
    initial |= preset_asked(request.GET, Preset.Kind.TRAINING)
    run = _run_asked_for(request)
    if run is not None:
        initial |= {**spec_load(TrainSpec, run.spec).to_json(), "name": ""}
    return initial


def _run_asked_for(request: HttpRequest) -> TrainingRun | None:
    """The run whose settings the form starts from."""
    pk = whole_or_none(request.GET.get("run"))
    return None if pk is None else training_get(pk)


@require_POST
def estimate_part(request: HttpRequest) -> HttpResponse:
    """Memory and time of the run that the form describes, asked for while it is filled in."""
    form = spec_form(TrainSpec)(request.POST)
    if not form.is_valid():
        return render(request, "training/new.html#estimate", {"is_valid": False, "refused": _refused(form)})
    spec = form.spec()
    try:
        sweep_require_distinct(spec)
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
        "d_in": sorted({d_in for d_in, _ in origin.widths}),
        "tokens": tokens,
        "passes": tokens / there if there else None,
        "special_words": special_words(spec, origin),
        "warnings": warnings_of(spec, origin),
        "band": expected_l0(spec, origin),
        "earlier": earlier_saes(spec, origin),
        "hook_site": origin.hook_sites[0],
        "sparsity_label": spec.options()[spec.coefficient_name].label,
    }
    return render(request, "training/new.html#estimate", context)


def _refused(form: SpecForm) -> list[str]:
    """What is wrong with a form, one sentence for each field: "Hook sites: A value is needed." """
    return [
        f"{form.fields[name].label}: {' '.join(errors)}" if name in form.fields else " ".join(errors)
        for name, errors in form.errors.items()
    ]


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
        "histogram": histogram_chart(run, view),
        "settings": settings_of(run),
        "effective": effective_words(run),
        "command": command_of(run),
    }
    return render(request, "training/detail.html", context)


@require_GET
def points(request: HttpRequest, pk: int) -> JsonResponse:
    """What the charts of the run's page have not seen yet: ?after= the newest step they know."""
    after = whole_asked(request.GET, "after", default=0)
    return JsonResponse(chart_news(training_get(pk), View.from_query(request.GET), after=after))


@require_GET
def compare_page(request: HttpRequest) -> HttpResponse:
    """Up to ten runs over each other: ?ids=3,7 or ?run=3&run=7; ?all=1 also lists settings that are equal."""
    runs = _runs_asked_for(request)
    view = View.from_query(request.GET)
    show_all = request.GET.get("all") == "1"
    rows = option_rows(runs) if runs else []
    colours = colours_of(_among(request, runs))
    context = {
        "runs": runs,
        "columns": _columns(runs, colours),
        "results": RESULTS,
        "others": []
        if len(runs) >= MOST_RUNS
        else training_list().exclude(pk__in=[run.pk for run in runs])[:MOST_OFFERED],
        "topics": [run.topic for run in runs if is_learning(run)],
        "ids": _ids(runs),
        "among": ",".join(map(str, colours)),
        "view": view,
        "axes": [(name, words) for name, (_, words) in AXES.items()],
        "charts": compare_charts(runs, view, colours),
        "rows": rows if show_all else [row for row in rows if row.differs],
        "show_all": show_all,
        "words": comparison_words(runs) if len(runs) > 1 else [],
    }
    return render(request, "training/compare.html", context)


@require_GET
def compare_points(request: HttpRequest) -> JsonResponse:
    """What the charts of a comparison have not seen yet: ?after=3-120,7-40, runs that learn and the newest steps known."""
    runs = _runs_asked_for(request)
    colours, after = colours_of(_among(request, runs)), after_read(request.GET.get("after", ""))
    return JsonResponse(compare_news(runs, View.from_query(request.GET), colours, after))


def _among(request: HttpRequest, runs: list[TrainingRun]) -> list[int]:
    """The runs that the comparison began with, by ?among=, and those that joined it."""
    asked = whole_numbers(request.GET.get("among", "").split(","))[:MOST_OFFERED]
    return list(dict.fromkeys([*asked, *(run.pk for run in runs)]))


def _columns(runs: list[TrainingRun], colours: Mapping[int, int]) -> list[dict[str, Any]]:
    """Each run with its colour, the ids of the comparison that has it first, and of the one without it."""
    return [
        {
            "run": run,
            "colour": colours[run.pk],
            "first": _ids([run, *[other for other in runs if other != run]]),
            "without": _ids([other for other in runs if other != run]),
        }
        for run in runs
    ]


def _ids(runs: list[TrainingRun]) -> str:
    return ",".join(str(run.pk) for run in runs)


def _runs_asked_for(request: HttpRequest, most: int | None = MOST_RUNS) -> list[TrainingRun]:
    asked = request.POST if request.method == "POST" else request.GET
    ids = [*asked.get("ids", "").split(","), *asked.getlist("run")]
    return trainings_of(whole_numbers(ids), most=most)


@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Start a new run with the settings of this one and those that were sent changed, without a form between."""
    changes = {name: value for name, value in request.POST.items() if name in TrainSpec.options()}
    run = services.training_again(run=training_get(pk), changes=changes, user=request.user)
    return HttpResponseClientRedirect(run.get_absolute_url()) if request.htmx else redirect(run)


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
    keep = whole_or_none(asked.get("keep"))
    keep = 1 if keep is None else keep
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


def _deletable(runs: list[TrainingRun]) -> dict[str, Any]:
    """Runs that can go, with the bytes of their folders, and those that stay, each with the reason."""
    staying = {run.pk: stays_because(run) for run in runs}
    going = [run for run in runs if not staying[run.pk]]
    jobs = [pk for run in going for pk in run.jobs.values_list("pk", flat=True)]
    return {
        "going": going,
        "staying": [(run, staying[run.pk]) for run in runs if staying[run.pk]],
        "bytes": sum(folder_bytes(data_path("jobs", pk)) for pk in jobs),
    }


def delete_several(request: HttpRequest) -> HttpResponse:
    """Ask about the runs of ?run=3&run=7, then delete those that can be and say which stay."""
    runs = _runs_asked_for(request, most=None)
    if request.method != "POST":
        return render(request, "training/delete_several.html", {"is_asked": True, **_deletable(runs)})
    freed, kept = services.trainings_delete(ids=[run.pk for run in runs])
    left = [(run, kept[run.pk]) for run in runs if run.pk in kept]
    if not left:
        return redirect("training:list")
    return render(
        request, "training/delete_several.html", {"kept": left, "freed": freed, "gone": len(runs) - len(left)}
    )
