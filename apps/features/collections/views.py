"""Pages of collections: all of them, one with its features, making, renaming and deleting."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.asking import names_require, whole_asked
from apps.core.errors import AppError
from apps.core.pages import form_refuse
from apps.features.bulk import features_chosen
from apps.features.collections import services
from apps.features.collections.selectors import collection_get, collection_json, collection_list, parts_shown
from apps.features.forms import CollectionForm
from apps.saes.selectors import sae_get

PAGE_SIZE = 50


@require_GET
def collection_list_page(request: HttpRequest) -> HttpResponse:
    """All collections by name; ?q= looks into names and notes."""
    names_require(request.GET, ("q", "page"))
    query = request.GET.get("q", "").strip()
    page = Paginator(collection_list(query), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [{"collection": collection, "about": collection_json(collection)} for collection in page]
    return render(request, "features/collections.html", {"page": page, "rows": rows, "query": query})


@require_http_methods(["GET", "POST"])
def collection_new(request: HttpRequest) -> HttpResponse:
    """A new, empty collection."""
    form = CollectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(services.collection_create(**form.cleaned_data, user=request.user))
        except AppError as error:
            form_refuse(form, error)
    return render(request, "features/collection_new.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def collection_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One collection with its features by SAE; POST gives it another name or note."""
    collection = collection_get(pk)
    form = CollectionForm(request.POST or None, initial={"name": collection.name, "note": collection.note})
    if request.method == "POST" and form.is_valid():
        try:
            services.collection_change(collection=collection, **form.cleaned_data)
        except AppError as error:
            form_refuse(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect(collection)
    context = {"collection": collection_get(pk), "form": form, "parts": parts_shown(collection)}
    return render(request, "features/collection.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def collection_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask before a collection is deleted."""
    collection = collection_get(pk)
    if request.method == "GET":
        return render(request, "features/collection_delete.html", {"collection": collection})
    services.collection_delete(collection=collection)
    messages.success(request, f"The collection “{collection}” was deleted.")
    return redirect("features:collections")


@require_POST
def collection_take(request: HttpRequest, pk: int) -> HttpResponse:
    """Take the posted features of an SAE out of the collection."""
    collection = collection_get(pk)
    sae = sae_get(whole_asked(request.POST, "sae"))
    found = features_chosen(sae=sae, asked=request.GET, sent=request.POST)
    taken = services.collection_remove(collection=collection, features=found)
    messages.success(request, f"{taken:,} taken out of the collection.")
    return redirect(reverse("features:collection", args=[pk]))
