"""Steering as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.spec_forms import spec_from_json
from apps.steering.selectors import experiment_get, experiment_json, experiment_list
from apps.steering.services import experiment_delete, experiment_start
from workers.engine.specs.steering import SteerSpec


@api("POST", spec=SteerSpec)
def generate(request: HttpRequest) -> Any:
    """Generate with features added to the model. Every experiment also holds the untouched model's text from the same
    seed, so `generate` and `compare` are one and the same."""
    experiment = experiment_start(spec=spec_from_json(SteerSpec, request.json), user=request.user)
    return accepted(experiment.job, f"/api/v1/steering/experiments/{experiment.pk}")


@api("GET")
def experiments(request: HttpRequest) -> Any:
    """Experiments with both texts, saved ones first."""
    return paged(experiment_list(), request, experiment_json)


@api("GET", "DELETE")
def experiment(request: HttpRequest, pk: int) -> Any:
    """One experiment with both texts and what was measured; DELETE removes it."""
    found = experiment_get(pk)
    if request.method == "DELETE":
        experiment_delete(experiment=found)
        return {"deleted": pk}
    return experiment_json(found)
