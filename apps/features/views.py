"""Pages of features: the list of an SAE, one feature, and the form that starts a feature run."""

from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.asking import row_or_none, shown, whole_or_none
from apps.core.errors import AppError
from apps.core.pages import delete_page, form_refuse, spec_page
from apps.core.spec_forms import spec_form
from apps.features.ablation.views import ablation_part
from apps.features.bulk import BulkForm
from apps.features.copying import copies_of
from apps.features.forms import FeatureFilterForm, LabelForm, NotesForm
from apps.features.language.selectors import language_context
from apps.features.models import Feature, FeatureRun
from apps.features.overview import overview
from apps.features.pages import WIDTHS, View, evidence_of
from apps.features.plans import feature_run_plan
from apps.features.reading import ReadingFilter
from apps.features.selectors import (
    DEFAULT_SORT,
    FoundFeatures,
    categories_of,
    feature_of,
    feature_random,
    feature_run_get,
    feature_run_list,
    feature_run_newest,
    snippets_of,
)
from apps.features.services import (
    feature_label_set,
    feature_notes_set,
    feature_run_before,
    feature_run_delete,
    feature_run_start,
    feature_star_set,
)
from apps.presets.models import Preset
from apps.presets.selectors import preset_asked
from apps.saes.models import Sae
from apps.saes.selectors import sae_get
from workers.engine.specs.features import DENSE, DefaultView, FeatureRunSpec
from workers.engine.specs.steering import USUAL_STRENGTH

PAGE_SIZE = 50
RUNS_PAGE_SIZE = 25
SNIPPET_WIDTH = 8
"""Tokens on each side of the peak in the list."""


@require_GET
def feature_run_list_page(request: HttpRequest) -> HttpResponse:
    """Feature runs of all SAEs: the way to their features."""
    page = Paginator(feature_run_list(), RUNS_PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "features/runs.html", {"page": page, "rows": page})


@require_GET
def feature_list_page(request: HttpRequest, sae_id: int) -> HttpResponse:
    """Features of an SAE, searched, filtered and sorted; htmx asks for the results alone. The address is led to one without
    empty fields; where the newest run leaves rare features out at first, to one that says so: what acts on the list sees the
    same."""
    sae = sae_get(sae_id)
    run = feature_run_newest(sae)
    rare_below = DefaultView.from_json(run.view).min_density if run is not None else 0.0
    asked = _asked_shortly(request.GET, rare_below)
    if asked != request.GET:
        return redirect(f"{request.path}?{asked.urlencode()}" if asked else request.path)
    form = FeatureFilterForm(request.GET)
    found = form.found(sae=sae.pk) if form.is_valid() else Feature.objects.none()
    page: Page = Paginator(FoundFeatures(found), PAGE_SIZE).get_page(request.GET.get("page"))
    snippets = snippets_of(list(page))
    is_narrowed = bool(form.errors) or form.narrows
    leaves_out = bool(rare_below) and request.GET["min_density"] == f"{rare_below:g}"
    context = {
        "sae": sae,
        "form": form,
        "page": page,
        "rows": [(feature, _snippet(snippets, feature)) for feature in page],
        "run": run,
        "job": run.job if run and not run.is_ready else None,
        "is_narrowed": is_narrowed,
        "rare_below": rare_below,
        "rare": sae.features.filter(density__lt=rare_below).count() if leaves_out else 0,
        "categories": categories_of(sae),
        "bulk": BulkForm(),
        "has_features": is_narrowed or page.paginator.count > 0,
        "sort": request.GET.get("sort") or DEFAULT_SORT,
        "new_url": f"{reverse('features:new')}?sae={sae.pk}",
    }
    is_fragment = request.htmx and not request.htmx.boosted
    return render(request, "features/list.html#results" if is_fragment else "features/list.html", context)


def _asked_shortly(query: QueryDict, rare_below: float) -> QueryDict:
    """The same question in fewer words. Where rare features are left out, an empty least density asks for them too."""
    asked = query.copy()
    for name in query:
        if not any(query.getlist(name)) and not (rare_below and name == "min_density"):
            del asked[name]
    if rare_below:
        asked.setdefault("min_density", f"{rare_below:g}")
    return asked


def _snippet(snippets: dict[int, Any], feature: Feature) -> Any:
    example = snippets.get(feature.pk)
    return None if example is None else example.cropped(SNIPPET_WIDTH)


@require_GET
def feature_overview(request: HttpRequest, sae_id: int) -> HttpResponse:
    """The picture of all features: for the page of the SAE, which asks for it."""
    sae = sae_get(sae_id)
    return render(request, "features/overview.html", {"sae": sae, "overview": overview(sae), "dense_from": DENSE})


@require_GET
def feature_selected(request: HttpRequest, sae_id: int) -> HttpResponse:
    """A box drawn over the picture, as the list's filter: ?x_from=&x_to= are densities, ?y_from=&y_to= maxima."""
    names = {"x_from": "min_density", "x_to": "max_density", "y_from": "min_max", "y_to": "max_max"}
    asked = {filter_name: request.GET[name] for name, filter_name in names.items() if request.GET.get(name)}
    return redirect(f"{reverse('features:list', args=[sae_id])}?{urlencode({**asked, 'sort': 'density'})}")


@require_GET
def feature_page(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """One feature: words, statistics, logit lists, examples."""
    sae = sae_get(sae_id)
    feature = feature_of(sae, index)
    view = View.of(request.GET)
    context = {"sae": sae, "index": index, "view": view, "widths": list(WIDTHS), "last": sae.d_sae - 1}
    context["new_url"] = f"{reverse('features:new')}?sae={sae.pk}"
    context |= {"previous": index - 1 if index else None, "next": index + 1 if index + 1 < sae.d_sae else None}
    if feature is None:
        run = feature_run_newest(sae)
        return render(request, "features/missing.html", {**context, "run": run, "job": run.job if run else None})
    evidence, trouble = evidence_of(feature, view, ReadingFilter.of(feature.run, request.GET))
    copies = copies_of(feature, evidence, request.build_absolute_uri(), with_label=not view.hides_label)
    return render(
        request,
        "features/detail.html",
        {
            **context,
            **_words_context(feature),
            **ablation_part(feature),
            "evidence": evidence,
            "trouble": trouble,
            "copies": copies,
            "is_dead": feature.maximum <= 0,
            "usual_strength": USUAL_STRENGTH,
            **(language_context(feature) if view.panel == "language" and feature.run else {}),
        },
    )


def _words_context(feature: Feature) -> dict[str, Any]:
    return {
        "feature": feature,
        "label_form": LabelForm(initial={"label": feature.label, "category": feature.category}),
        "notes_form": NotesForm(initial={"notes": feature.notes}),
        "categories": categories_of(feature.sae),
    }


@require_POST
def feature_words(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """Save label and category."""
    feature = _row(sae_id, index)
    form = LabelForm(request.POST)
    if form.is_valid():
        try:
            feature_label_set(feature=feature, **form.cleaned_data)
        except AppError as error:
            form_refuse(form, error)
    return _words_answer(request, feature, "words", label_form=form)


@require_POST
def feature_notes(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """Save the notes."""
    feature = _row(sae_id, index)
    form = NotesForm(request.POST)
    if form.is_valid():
        feature_notes_set(feature=feature, **form.cleaned_data)
    return _words_answer(request, feature, "notes", notes_form=form)


@require_POST
def feature_star(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """Put a star on a feature, or take it away: ?is_starred in the form says which."""
    feature = _row(sae_id, index)
    feature_star_set(feature=feature, is_starred=request.POST.get("is_starred") == "1")
    return _words_answer(request, feature, "star")


def _words_answer(request: HttpRequest, feature: Feature, part: str, **forms: Any) -> HttpResponse:
    """The changed part for htmx; otherwise back to the page. A form with errors stays as it was typed."""
    bad = {name: form for name, form in forms.items() if form.errors}
    if not request.htmx and not bad:
        return redirect(feature)
    context = {**_words_context(feature), **bad, "sae": feature.sae, "index": feature.index, "is_saved": not bad}
    template = f"features/detail.html#{part}" if request.htmx else "features/words.html"
    return render(request, template, context, status=200 if request.htmx or not bad else 422)


def _row(sae_id: int, index: int) -> Feature:
    return get_object_or_404(Feature.objects.select_related("sae"), sae=sae_id, index=index)


@require_GET
def feature_random_page(request: HttpRequest, sae_id: int) -> HttpResponse:
    """Any feature that fires, with the view kept."""
    feature = feature_random(sae_get(sae_id))
    if feature is None:
        raise AppError("no_feature_run", "No feature of this SAE is known to fire.", "Start a feature run.", status=404)
    return _with_query(request, feature.get_absolute_url())


@require_GET
def feature_go(request: HttpRequest, sae_id: int) -> HttpResponse:
    """Feature ?index= of the SAE."""
    sae: Sae = sae_get(sae_id)
    text = request.GET.get("index", "").strip()
    index = whole_or_none(text)
    if index is None or index >= sae.d_sae:
        words, hint = f"{sae} has no feature {shown(text)}.", f"Its features are 0 to {sae.d_sae - 1}."
        raise AppError("no_such_feature", words, hint, status=404)
    return _with_query(request, reverse("features:detail", args=[sae_id, index]))


def _with_query(request: HttpRequest, url: str) -> HttpResponse:
    kept = request.GET.copy()
    kept.pop("index", None)
    return redirect(f"{url}?{kept.urlencode()}" if kept else url)


@require_POST
def feature_run_estimate(request: HttpRequest) -> HttpResponse:
    """What the chosen run will read and how long it may take, asked for while the form is filled in."""
    context: dict[str, Any] = {"plan": None, "refused": ""}
    form = spec_form(FeatureRunSpec)(request.POST)
    if form.is_valid():
        try:
            context["plan"] = feature_run_plan(form.spec())
        except AppError as error:
            context["refused"] = f"{error.message} {error.hint}".strip()
    return render(request, "features/new.html#estimate", context)


@require_http_methods(["GET", "POST"])
def feature_run_new(request: HttpRequest) -> HttpResponse:
    """The form that starts a feature run; ?sae= also proposes the tokenization the SAE was trained on, ?preset= fills
    the rest."""
    sae = row_or_none(Sae.objects.all(), request.GET.get("sae"))
    initial = preset_asked(request.GET, Preset.Kind.EXTRACTION)
    if sae is not None:
        initial |= {"sae": sae.pk, "tokenization": sae.tokenization_id}
    has_none = not Sae.objects.exists()
    return spec_page(
        request, FeatureRunSpec, feature_run_start, "features/new.html", initial=initial, sae=sae, has_none=has_none
    )


@require_http_methods(["GET", "POST"])
def feature_run_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask before a run is deleted with its examples."""
    run = feature_run_get(pk)
    return delete_page(
        request,
        run,
        lambda: feature_run_delete(run=run),
        back_url=run.get_absolute_url(),
        note=f"Features keep their labels and notes. {_what_shows_without(run)}",
    )


def _what_shows_without(run: FeatureRun) -> str:
    """What becomes of the numbers and examples of a run's features when it is deleted."""
    earlier = feature_run_before(run)
    if earlier is not None:
        return f"They show again what feature run {earlier.pk} measured."
    return "They keep their statistics too, but their examples are gone." if run.features.exists() else ""
