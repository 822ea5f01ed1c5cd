"""Pages of language models: list, look-up and import, architecture with hook sites, quantization."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import push_url

from apps.core.asking import row_or_none
from apps.core.name_form import NameForm
from apps.core.pages import delete_page, form_start, spec_page
from apps.core.spec_forms import spec_form
from apps.core.storage import disk_free_bytes
from apps.jobs.subjects import subject_list_page, subject_topics, with_newest_jobs
from apps.language_models import services
from apps.language_models.architecture import module_tree
from apps.language_models.cards import card_context, fit_context, lookup_context
from apps.language_models.fit import ModelShape, quantization_fits
from apps.language_models.hook_sites import layers_with_sites, site_there
from apps.language_models.models import LanguageModel, LanguageModelLookup
from apps.language_models.selectors import (
    SORTS,
    language_model_disk_bytes,
    language_model_get,
    language_model_list,
    language_model_ready,
)
from apps.language_models.stream_diagram import block_drawing
from workers.engine.specs.language_models import (
    LanguageModelCheckSpec,
    LanguageModelImportSpec,
    LanguageModelLookupSpec,
    LanguageModelQuantizeSpec,
    VocabularyRebuildSpec,
)

LOOKUP_IDS = "lookup_%s"
"""Two forms of the import page have a field named repo_id: their elements' ids differ."""


@require_GET
def language_model_list_page(request: HttpRequest) -> HttpResponse:
    """All language models: ?q= searches, ?sort= is a key of SORTS."""
    return subject_list_page(request, language_model_list, SORTS, "language_models/list.html")


@require_http_methods(["GET", "POST"])
def language_model_new(request: HttpRequest) -> HttpResponse:
    """Look a model up on the Hub and import it; ?lookup= shows what was found and prefills the import."""
    lookup = _lookup_asked(request)
    found = {"repo_id": lookup.repo_id} if lookup else {}
    return spec_page(
        request,
        LanguageModelImportSpec,
        services.language_model_import,
        "language_models/new.html",
        initial=_import_initial(lookup),
        lookup_form=spec_form(LanguageModelLookupSpec)(initial=found, auto_id=LOOKUP_IDS),
        **_lookup_page_context(lookup),
    )


@require_http_methods(["GET", "POST"])
def language_model_lookup_submit(request: HttpRequest) -> HttpResponse:
    """Ask the Hub about a model, then show the answer above the import form."""
    if request.method == "GET":
        return redirect("language_models:new")
    form = spec_form(LanguageModelLookupSpec)(request.POST, auto_id=LOOKUP_IDS)
    lookup = form_start(form, services.language_model_lookup, request)
    if lookup is not None:
        return redirect(lookup)
    context = {"form": spec_form(LanguageModelImportSpec)(), "lookup_form": form, **_lookup_page_context(None)}
    return render(request, "language_models/new.html", context, status=422)


def _lookup_asked(request: HttpRequest) -> LanguageModelLookup | None:
    """The look-up of ?lookup=; one that is gone, they are kept for a day, is as if it was not asked for."""
    return row_or_none(LanguageModelLookup.objects.all(), request.GET.get("lookup"))


def _lookup_page_context(lookup: LanguageModelLookup | None) -> dict[str, Any]:
    context: dict[str, Any] = {"free_bytes": disk_free_bytes()}
    if lookup is not None:
        context |= {**lookup_context(lookup), "topics": subject_topics(lookup, lookup.job)}
    return context


def _import_initial(lookup: LanguageModelLookup | None) -> dict[str, Any]:
    """What the import form starts with: the repository looked up, at its revision, as recommended for this machine."""
    if lookup is None:
        return {}
    initial = {"source": "hub", "repo_id": lookup.repo_id}
    if lookup.is_ready:
        fits = quantization_fits(ModelShape.from_report(lookup.report))
        best = next((line for line in fits if line.is_recommended), None)
        initial["revision"] = lookup.report["revision"]
        initial["quantization"] = "auto" if best is None or best.is_published else best.quantization
    return initial


@require_GET
def language_model_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One language model: numbers, modules, and the residual stream; ?layer=&site= opens one of its hook sites."""
    language_model = language_model_get(pk)
    chosen = None
    if language_model.is_ready and "site" in request.GET:
        chosen = site_there(language_model, request.GET.get("layer", ""), request.GET["site"])
    job = language_model.job
    context = {
        **card_context(language_model),
        "topics": subject_topics(language_model, job),
        "name_form": NameForm(initial={"name": language_model.name}),
    }
    if language_model.is_ready:
        context |= _architecture_context(language_model) | {"chosen": chosen}
    return render(request, "language_models/detail.html", context)


def _architecture_context(language_model: LanguageModel) -> dict[str, Any]:
    layers = layers_with_sites(language_model)
    return {
        "layers": [(layer, block_drawing(layer)) for layer in layers],
        "has_things": any(layer.saes or layer.caches for layer in layers),
        "middle_layer": language_model.layers // 2,
        "tree": module_tree(language_model),
        "caches": with_newest_jobs(language_model.activation_caches.select_related("tokenization__dataset")),
        "saes": [sae for layer in layers for site in layer.sites for sae in site.saes],
    }


@require_GET
def site_part(request: HttpRequest, pk: int, layer: int, site: str) -> HttpResponse:
    """What is at one hook site: the part of the model's page that a click into the drawing replaces."""
    language_model = language_model_ready(pk)
    chosen = site_there(language_model, str(layer), site)
    page_url = f"{language_model.get_absolute_url()}?{urlencode({'layer': layer, 'site': site})}"
    if not request.htmx:
        return redirect(f"{page_url}#site")
    context = {"language_model": language_model, "chosen": chosen}
    return push_url(render(request, "language_models/detail.html#site", context), page_url)


@require_http_methods(["GET", "POST"])
def language_model_quantize_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Hold a language model in another quantization: how each one fits this machine, and what refers to the model."""
    language_model = language_model_ready(pk)
    return spec_page(
        request,
        LanguageModelQuantizeSpec,
        services.language_model_quantize,
        "language_models/quantize.html",
        initial={"language_model": pk, "quantization": language_model.quantization or "auto"},
        language_model=language_model,
        dependents=[*language_model.saes.all(), *language_model.activation_caches.all()],
        **fit_context(ModelShape.from_report(language_model.report)),
    )


@require_POST
def language_model_check_submit(request: HttpRequest, pk: int) -> HttpResponse:
    """Read the weights again, to see whether they are still those of the import."""
    return redirect(services.language_model_check(spec=LanguageModelCheckSpec(language_model=pk), user=request.user))


@require_POST
def vocabulary_rebuild_submit(request: HttpRequest, pk: int) -> HttpResponse:
    """Store the vocabulary again, as this version of the studio reads it."""
    return redirect(services.vocabulary_rebuild(spec=VocabularyRebuildSpec(language_model=pk), user=request.user))


@require_POST
def language_model_rename_submit(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a language model another name."""
    language_model = language_model_get(pk)
    return redirect(services.language_model_rename(language_model=language_model, name=request.POST.get("name", "")))


@require_http_methods(["GET", "POST"])
def language_model_delete_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete a language model."""
    language_model = language_model_get(pk)
    language_model.bytes = language_model_disk_bytes(language_model)
    return delete_page(
        request,
        language_model,
        lambda: services.language_model_delete(language_model=language_model),
        back_url=reverse("language_models:list"),
    )
