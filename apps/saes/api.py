"""SAEs as JSON: list, one, and a new evaluation."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.asking import choice_asked, id_asked
from apps.core.json_bodies import fields_check
from apps.core.spec_forms import spec_from_json
from apps.saes import services
from apps.saes.selectors import sae_get, sae_json, sae_json_full, sae_list
from apps.training.words import ARCHITECTURE_NAMES
from workers.engine.specs.saes import EvaluateSpec


@api("GET")
def saes(request: HttpRequest) -> Any:
    """All SAEs, newest first, narrowed by ?query=, ?architecture= and ?language_model=ID."""
    found = sae_list(
        query=request.GET.get("query", ""),
        architecture=choice_asked(request.GET, "architecture", ARCHITECTURE_NAMES),
        language_model=id_asked(request.GET, "language_model"),
    )
    return paged(found, request, sae_json, filters=("query", "architecture", "language_model"))


@api("GET", "PATCH", "DELETE")
def sae(request: HttpRequest, pk: int) -> Any:
    """One SAE with its way of encoding, provenance and evaluations; PATCH {"name": …} renames it, DELETE takes along
    everything measured of it and says the bytes freed."""
    found = sae_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.sae_delete(sae=found)}
    if request.method == "PATCH":
        fields_check(request.json, {"name": str})
        services.sae_rename(sae=found, name=request.json["name"])
    return sae_json_full(found)


@api("POST", spec=EvaluateSpec)
def evaluate(request: HttpRequest, pk: int) -> Any:
    """Measure the SAE: 202 with the job. The tokenization it was trained on is the default."""
    found = sae_get(pk)
    proposed = {"tokenization": found.tokenization_id} if found.tokenization_id else {}
    spec = spec_from_json(EvaluateSpec, {**proposed, **request.json, "sae": pk})
    evaluation = services.evaluation_start(spec=spec, user=request.user)
    return accepted(evaluation.job, evaluation.get_absolute_url())
