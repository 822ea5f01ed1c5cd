"""Pages of exports: the list, a new one, one archive and its download."""

from django.core.paginator import Paginator
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.core.asking import names_require
from apps.core.errors import AppError
from apps.core.pages import delete_page, spec_page
from apps.exports import services
from apps.exports.selectors import archive_contents, archive_path, export_get, export_list
from apps.saes.models import Sae
from workers.engine.specs.exports import ExportSpec

PAGE_SIZE = 25


@require_GET
def list_page(request: HttpRequest) -> HttpResponse:
    """All exports, newest first."""
    names_require(request.GET, ("q", "page"))
    query = request.GET.get("q", "")
    page = Paginator(export_list(query=query), PAGE_SIZE).get_page(request.GET.get("page"))
    topics = [export.topic for export in page if not export.is_ready]
    return render(request, "exports/list.html", {"page": page, "rows": page, "topics": topics, "query": query})


def new_page(request: HttpRequest) -> HttpResponse:
    """Pack an SAE, proposed by ?sae=."""
    return spec_page(request, ExportSpec, services.export_create, "exports/new.html", has_saes=Sae.objects.exists())


@require_GET
def detail_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One archive as a stranger will see it: members, README, checksum, download."""
    export = export_get(pk)
    job = export.job
    members, readme, problem = [], "", None
    if export.is_ready:
        try:
            members, readme = archive_contents(export)
        except AppError as error:
            problem = error
    context = {
        "export": export,
        "job": job,
        "topics": [export.topic, *([job.topic] if job else [])],
        "members": members,
        "readme": readme,
        "problem": problem,
    }
    return render(request, "exports/detail.html", context)


@require_GET
def download(request: HttpRequest, pk: int) -> FileResponse:
    """The archive as an attachment."""
    export = export_get(pk)
    return FileResponse(archive_path(export).open("rb"), as_attachment=True, filename=export.file_name)


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete the archive."""
    export = export_get(pk)
    return delete_page(request, export, lambda: services.export_delete(export=export), back_url=reverse("exports:list"))
