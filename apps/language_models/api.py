"""Language models as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.json_bodies import fields_check
from apps.core.spec_forms import spec_from_json
from apps.jobs.subjects import with_job
from apps.language_models import services
from apps.language_models.selectors import (
    language_model_get,
    language_model_json,
    language_model_list,
    language_model_ready,
)
from workers.engine.specs.language_models import LanguageModelImportSpec


@api("GET", "POST", spec=LanguageModelImportSpec)
def language_models(request: HttpRequest) -> Any:
    """All language models (?q=, ?sort=); POST imports one."""
    if request.method == "POST":
        spec = spec_from_json(LanguageModelImportSpec, request.json)
        language_model = services.language_model_import(spec=spec, user=request.user)
        return accepted(language_model.job, language_model.get_absolute_url())
    found = language_model_list(query=request.GET.get("q", ""), sort=request.GET.get("sort", "newest"))
    return paged(found, request, language_model_json)


@api("GET", "PATCH", "DELETE")
def language_model(request: HttpRequest, pk: int) -> Any:
    """One language model; PATCH {"name"} renames it; DELETE removes it and its files."""
    found = language_model_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.language_model_delete(language_model=found)}
    if request.method == "PATCH":
        fields_check(request.json, {"name": str})
        services.language_model_rename(language_model=found, name=request.json["name"])
    return with_job(language_model_json(found), found)


@api("POST")
def language_model_download(request: HttpRequest, pk: int) -> Any:
    """Start the import again after it failed, or name the one under way."""
    found = language_model_get(pk)
    job = services.language_model_import_again(language_model=found, user=request.user)
    return accepted(job, found.get_absolute_url())


@api("GET")
def language_model_architecture(request: HttpRequest, pk: int) -> Any:
    """Hook sites with widths, the module tree, and the importer's other numbers."""
    found = language_model_ready(pk)
    return {"id": found.pk, "name": found.name, **found.report}
