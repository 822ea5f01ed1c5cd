"""Ablations of features as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api
from apps.core.spec_forms import spec_from_json
from apps.features.ablation.selectors import ablation_get, ablation_json
from apps.features.ablation.services import ablation_delete, ablation_start
from apps.features.selectors import feature_get
from workers.engine.specs.ablation import AblateSpec


@api("GET", "POST", "DELETE", spec=AblateSpec)
def ablation(request: HttpRequest, pk: int) -> Any:
    """What the language model loses without the feature. POST measures it: 202 with the job; `sae` and `index` are those of
    the feature."""
    found = feature_get(pk)
    if request.method == "POST":
        spec = spec_from_json(AblateSpec, {**request.json, "sae": found.sae_id, "index": found.index})
        started = ablation_start(spec=spec, user=request.user)
        return accepted(started.job, f"/api/v1/features/{pk}/ablation")
    measured = ablation_get(found)
    if request.method == "DELETE":
        return {"deleted": measured.pk, "freed_bytes": ablation_delete(ablation=measured)}
    return ablation_json(measured)
