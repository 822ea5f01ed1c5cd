"""Language models as JSON."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.core.api import accepted, api, paged
from apps.core.asking import choice_asked, whole_asked
from apps.core.errors import AppError
from apps.core.json_bodies import fields_check
from apps.core.spec_forms import spec_from_json
from apps.jobs.subjects import with_job
from apps.language_models import services
from apps.language_models.fit import (
    USUAL_BATCH,
    USUAL_CONTEXT,
    ModelShape,
    context_within,
    fits_json,
    quantization_fits,
)
from apps.language_models.generation_settings import generation_settings
from apps.language_models.hook_sites import layers_with_sites, site_json
from apps.language_models.models import LanguageModel, LanguageModelLookup
from apps.language_models.selectors import (
    SORTS,
    language_model_get,
    language_model_json,
    language_model_list,
    language_model_ready,
    lookup_get,
    lookup_json,
)
from workers.engine.specs.language_models import (
    QUANTIZATION_CHOICES,
    LanguageModelCheckSpec,
    LanguageModelImportSpec,
    LanguageModelLookupSpec,
    LanguageModelQuantizeSpec,
    VocabularyRebuildSpec,
)

ASKED = {"least": 1, "most": 10_000_000}
"""Of a context length or a batch that a memory estimate is asked for."""


@api("GET", "POST", spec=LanguageModelImportSpec)
def language_models(request: HttpRequest) -> Any:
    """All language models (?q=, ?sort=); POST imports one."""
    if request.method == "POST":
        spec = spec_from_json(LanguageModelImportSpec, request.json)
        language_model = services.language_model_import(spec=spec, user=request.user)
        return accepted(language_model.job, language_model.get_absolute_url())
    found = language_model_list(
        query=request.GET.get("q", ""), sort=choice_asked(request.GET, "sort", SORTS, default="newest")
    )
    return paged(found, request, language_model_json, filters=("q", "sort"))


@api("GET", "PATCH", "DELETE")
def language_model(request: HttpRequest, pk: int) -> Any:
    """One language model; PATCH {"name"} renames it; DELETE removes it and its files."""
    found = language_model_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.language_model_delete(language_model=found)}
    if request.method == "PATCH":
        fields_check(request.json, {"name": str})
        services.language_model_rename(language_model=found, name=request.json["name"])
    shown = {**language_model_json(found), "generation_config": generation_settings(found)}
    return with_job(shown, found)


@api("GET", "POST", spec=LanguageModelLookupSpec)
def language_model_lookups(request: HttpRequest) -> Any:
    """Look-ups of the last day, newest first; POST {"repo_id"} asks the Hub what a model is and needs."""
    if request.method == "POST":
        spec = spec_from_json(LanguageModelLookupSpec, request.json)
        lookup = services.language_model_lookup(spec=spec, user=request.user)
        return accepted(lookup.job, reverse("api:model-lookup", args=[lookup.pk]))
    return paged(LanguageModelLookup.objects.all(), request, lookup_json)


@api("GET")
def language_model_lookup(request: HttpRequest, pk: int) -> Any:
    """What the Hub said, and how each quantization fits each device of this machine."""
    lookup = lookup_get(pk)
    shown = with_job(lookup_json(lookup), lookup)
    if lookup.is_ready:
        shown["fits"] = fits_json(quantization_fits(ModelShape.from_report(lookup.report)))
    return shown


@api("POST")
def language_model_download(request: HttpRequest, pk: int) -> Any:
    """Start a failed import again, or name the one under way; {"quantization"} says how the weights shall be held.

    A ready model is not downloaded again: its files serve every quantization.
    """
    found = language_model_get(pk)
    if found.is_ready and request.json:
        return _quantize(request, found)
    wished = request.json.get("quantization", "") if request.json else ""
    if wished and wished not in dict(QUANTIZATION_CHOICES):
        known = ", ".join(dict(QUANTIZATION_CHOICES))
        raise AppError("spec_invalid", f"There is no quantization {wished}.", f"Known: {known}.", field="quantization")
    job = services.language_model_import_again(language_model=found, quantization=wished, user=request.user)
    return accepted(job, found.get_absolute_url())


@api("POST", spec=LanguageModelQuantizeSpec)
def language_model_quantize(request: HttpRequest, pk: int) -> Any:
    """Hold the model in another quantization; `language_model` is the one of the address."""
    return _quantize(request, language_model_ready(pk))


def _quantize(request: HttpRequest, found: LanguageModel) -> Any:
    spec = spec_from_json(LanguageModelQuantizeSpec, {**request.json, "language_model": found.pk})
    services.language_model_quantize(spec=spec, user=request.user)
    return accepted(found.job, found.get_absolute_url())


@api("POST")
def vocabulary_rebuild(request: HttpRequest, pk: int) -> Any:
    """Store the vocabulary again, with the copies beside the model's feature runs."""
    found = language_model_ready(pk)
    services.vocabulary_rebuild(spec=VocabularyRebuildSpec(language_model=found.pk), user=request.user)
    return accepted(found.job, found.get_absolute_url())


@api("POST")
def language_model_check(request: HttpRequest, pk: int) -> Any:
    """Read the weights again; the job fails when they are no longer those of the import."""
    found = language_model_ready(pk)
    services.language_model_check(spec=LanguageModelCheckSpec(language_model=found.pk), user=request.user)
    return accepted(found.job, found.get_absolute_url())


@api("GET")
def language_model_architecture(request: HttpRequest, pk: int) -> Any:
    """The module tree, the importer's other numbers, and the hook sites with what was made at each."""
    found = language_model_ready(pk)
    sites = [site_json(site) for layer in layers_with_sites(found) for site in layer.sites]
    return {"id": found.pk, "name": found.name, **found.report, "sites": sites}


@api("GET")
def language_model_memory(request: HttpRequest, pk: int) -> Any:
    """Memory in each quantization on each device, for ?context_length= tokens and ?batch= contexts at once."""
    found = language_model_ready(pk)
    shape = ModelShape.from_report(found.report)
    length = context_within(shape, whole_asked(request.GET, "context_length", default=USUAL_CONTEXT, **ASKED))
    batch = whole_asked(request.GET, "batch", default=USUAL_BATCH, **ASKED)
    return {
        "id": found.pk,
        "quantization": found.quantization,
        "footprint_bytes": found.footprint_bytes,
        "context_length": length,
        "batch": batch,
        "fits": fits_json(quantization_fits(shape, context_length=length, batch=batch)),
    }
