"""Feature maps as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.errors import AppError
from apps.core.spec_forms import spec_from_json
from apps.features.api import sae_asked
from apps.features.maps.selectors import map_get, map_json, map_points
from apps.features.maps.services import feature_map_delete, feature_map_start
from apps.features.models import FeatureMap
from workers.engine.specs.feature_map import FeatureMapSpec


@api("GET", "POST", spec=FeatureMapSpec)
def feature_maps(request: HttpRequest) -> Any:
    """Feature maps, newest first, of one SAE by ?sae=; POST lays one out: 202 with the job."""
    if request.method == "POST":
        made = feature_map_start(spec=spec_from_json(FeatureMapSpec, request.json), user=request.user)
        return accepted(made.job, f"/api/v1/features/maps/{made.pk}")
    sae, found = sae_asked(request), FeatureMap.objects.select_related("sae")
    return paged(found if sae is None else found.filter(sae=sae), request, map_json, filters=("sae",))


@api("GET", "DELETE")
def feature_map(request: HttpRequest, pk: int) -> Any:
    """One feature map; DELETE removes it with its file."""
    found = map_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": feature_map_delete(feature_map=found)}
    return map_json(found)


@api("GET")
def feature_map_points(request: HttpRequest, pk: int) -> Any:
    """The points of a map as columns: index, x, y and the value of ?colour=density, maximum, score or category; `matches`
    says which the list's filters keep, null when there are none."""
    found = map_get(pk)
    if not found.is_ready:
        raise AppError("not_ready", f"{found} is not laid out yet.", "Wait for its job.", status=409)
    return map_points(found, request.GET)
