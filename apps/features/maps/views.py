"""The map of an SAE's features: drawn from its points, with the list's filters as highlights; POST lays out another."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.core.pages import delete_page, form_start
from apps.core.spec_forms import spec_form
from apps.features.forms import FeatureFilterForm
from apps.features.maps.selectors import MapForm, map_get, map_metrics, map_newest, map_shown, map_words
from apps.features.maps.services import feature_map_delete, feature_map_start, has_umap
from apps.saes.selectors import sae_get
from workers.engine.specs.feature_map import UMAP_PIP, FeatureMapSpec


@require_http_methods(["GET", "POST"])
def map_page(request: HttpRequest, sae_id: int) -> HttpResponse:
    """?map= chooses an older map, ?colour= what the colour says; the list's filters decide what is highlighted."""
    sae = sae_get(sae_id)
    layout_form = spec_form(FeatureMapSpec)(request.POST or None, decided={"sae": sae.pk}, auto_id="layout_%s")
    if request.method == "POST" and form_start(layout_form, feature_map_start, request) is not None:
        return redirect(reverse("features:map", args=[sae.pk]))
    filters = FeatureFilterForm(request.GET)
    shown, newest = map_shown(sae, request.GET.get("map", "")), map_newest(sae)
    narrows = filters.is_valid() and filters.narrows
    context = {
        "sae": sae,
        "layout_form": layout_form,
        "filters": filters,
        "colour_form": MapForm(request.GET),
        "shown": shown,
        "others": sae.feature_maps.filter(ready_at__isnull=False).exclude(pk=shown.pk) if shown else [],
        "newest": newest,
        "job": newest.job if newest and not newest.is_ready else None,
        "matches": filters.found(sae=sae.pk).count() if narrows else None,
        "umap_hint": "" if has_umap() else UMAP_PIP,
    }
    if shown:
        context |= {"words": map_words(shown), "metrics": map_metrics(shown)}
    return render(request, "features/map.html", context, status=422 if layout_form.errors else 200)


@require_http_methods(["GET", "POST"])
def map_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask before a map is deleted."""
    found = map_get(pk)
    return delete_page(
        request,
        found,
        lambda: feature_map_delete(feature_map=found),
        back_url=reverse("features:map", args=[found.sae_id]),
        back_words="The map",
        note="Features keep everything; addresses with an area of this map stop working.",
    )
