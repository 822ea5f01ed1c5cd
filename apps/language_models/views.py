"""Pages of language models: list, import, architecture with hook sites."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.name_form import NameForm
from apps.core.pages import delete_page, spec_page
from apps.core.storage import disk_free_bytes
from apps.jobs.subjects import subject_list_page, subject_topics, with_newest_jobs
from apps.language_models.selectors import (
    SORTS,
    hook_site_rows,
    language_model_get,
    language_model_list,
    module_rows,
)
from apps.language_models.services import language_model_delete, language_model_import, language_model_rename
from workers.engine.specs.language_models import LanguageModelImportSpec


@require_GET
def language_model_list_page(request: HttpRequest) -> HttpResponse:
    """All language models: ?q= searches, ?sort= is a key of SORTS."""
    return subject_list_page(request, language_model_list, SORTS, "language_models/list.html")


@require_http_methods(["GET", "POST"])
def language_model_new(request: HttpRequest) -> HttpResponse:
    """Import a language model."""
    return spec_page(
        request,
        LanguageModelImportSpec,
        language_model_import,
        "language_models/new.html",
        free_bytes=disk_free_bytes(),
    )


@require_GET
def language_model_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One language model: its numbers, hook sites with what was made there, and its modules."""
    language_model = language_model_get(pk)
    job = language_model.job
    context = {
        "language_model": language_model,
        "job": job,
        "topics": subject_topics(language_model, job),
        "name_form": NameForm(initial={"name": language_model.name}),
    }
    if language_model.is_ready:
        sites, layers = hook_site_rows(language_model)
        context |= {
            "sites": sites,
            "layers": layers,
            "modules": module_rows(language_model),
            "caches": with_newest_jobs(language_model.activation_caches.select_related("tokenization__dataset")),
            "saes": language_model.saes.all(),
        }
    return render(request, "language_models/detail.html", context)


@require_POST
def language_model_rename_submit(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a language model another name."""
    return redirect(language_model_rename(language_model=language_model_get(pk), name=request.POST.get("name", "")))


@require_http_methods(["GET", "POST"])
def language_model_delete_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete a language model."""
    language_model = language_model_get(pk)
    return delete_page(
        request,
        language_model,
        lambda: language_model_delete(language_model=language_model),
        back_url=reverse("language_models:list"),
    )
