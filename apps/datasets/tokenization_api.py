"""Tokenizations as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.spec_forms import spec_from_json
from apps.datasets import tokenization_services
from apps.datasets.selectors import dataset_get, dataset_ready
from apps.datasets.tokenization_selectors import (
    dataset_statistics,
    tokenization_get,
    tokenization_json,
    tokenization_list,
)
from apps.jobs.subjects import with_job
from workers.engine.specs.tokenization import TokenizeSpec


@api("POST", spec=TokenizeSpec)
def dataset_tokenize(request: HttpRequest, pk: int) -> Any:
    """Cut the dataset into contexts; the body is a TokenizeSpec, `dataset` is taken from the address."""
    body = {**request.json, "dataset": pk} if isinstance(request.json, dict) else request.json
    dataset_ready(pk)
    tokenization = tokenization_services.tokenization_create(spec=spec_from_json(TokenizeSpec, body), user=request.user)
    return accepted(tokenization.job, tokenization.get_absolute_url())


@api("GET")
def dataset_statistics_view(request: HttpRequest, pk: int) -> Any:
    """The dataset's numbers and those of its tokenizations."""
    return dataset_statistics(dataset_get(pk))


@api("GET")
def dataset_tokenizations(request: HttpRequest, pk: int) -> Any:
    """The dataset's tokenizations."""
    return paged(tokenization_list(dataset=dataset_get(pk)), request, tokenization_json)


@api("GET", "DELETE")
def tokenization(request: HttpRequest, pk: int) -> Any:
    """One tokenization with its full report; DELETE removes it."""
    found = tokenization_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": tokenization_services.tokenization_delete(tokenization=found)}
    return {**with_job(tokenization_json(found), found), "report": found.report}
