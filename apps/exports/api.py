"""Exports as JSON: pack an SAE, list, one, download, delete."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.asking import id_asked
from apps.core.spec_forms import spec_from_json
from apps.exports import services, views
from apps.exports.selectors import export_get, export_json, export_json_full, export_list
from workers.engine.specs.exports import ExportSpec


@api("GET", "POST", spec=ExportSpec)
def exports(request: HttpRequest) -> Any:
    """All exports, newest first, narrowed by ?sae=ID and ?query=; POST packs an SAE: 202 with its job."""
    if request.method == "POST":
        export = services.export_create(spec=spec_from_json(ExportSpec, request.json), user=request.user)
        return accepted(export.job, export.get_absolute_url())
    found = export_list(sae=id_asked(request.GET, "sae"), query=request.GET.get("query", ""))
    return paged(found, request, export_json, filters=("sae", "query"))


@api("GET", "DELETE")
def export(request: HttpRequest, pk: int) -> Any:
    """One export with its job; DELETE says the bytes freed."""
    found = export_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.export_delete(export=found)}
    return export_json_full(found)


@api("GET")
def download(request: HttpRequest, pk: int) -> Any:
    """The archive itself."""
    return views.download(request, pk)
