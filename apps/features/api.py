"""Features and feature runs as JSON."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.asking import choice_asked, id_asked, whole_asked
from apps.core.csv_tables import is_for_spreadsheet
from apps.core.json_bodies import fields_check
from apps.core.spec_forms import spec_from_json
from apps.core.streaming import streamed
from apps.features.example_export import FORMATS, examples_exported
from apps.features.forms import FeatureFilterForm
from apps.features.models import Feature
from apps.features.selectors import (
    FoundFeatures,
    feature_evidence_json,
    feature_get,
    feature_json,
    feature_run_get,
    feature_run_json,
    feature_run_list,
)
from apps.features.services import (
    EDITABLE_TOGETHER,
    feature_run_delete,
    feature_run_start,
    feature_update,
    features_update,
)
from apps.saes.selectors import sae_get
from workers.engine.specs.features import FeatureRunSpec


@api("GET", "PATCH")
def features(request: HttpRequest) -> Any:
    """Features by ?sae= and the fields of the list's filter: ?query=, ?fires_on=, ?category=, ?features=, ?collection=,
    ?starred=, ?labelled=, ?min_… and ?max_… of density, max, score, mean, firings, agreement, consistency and
    concentration; ?sort=. PATCH gives all of them the same label, category or is_starred.

    Densities are shares of positions, from 0 to 1. A name that is no filter is refused.
    """
    if request.method == "PATCH":
        fields_check(request.json, EDITABLE_TOGETHER)
        return {"changed": features_update(features=asked_features(request), **request.json)}
    form = FeatureFilterForm(request.GET)
    form.require_known(("sae", "page", "page_size"))
    form.require_valid()
    return paged(
        FoundFeatures(form.found(sae=sae_asked(request))), request, feature_json, filters=("sae", *form.fields)
    )


def sae_asked(request: HttpRequest) -> int | None:
    """The id of the SAE that ?sae= names; None without it."""
    pk = id_asked(request.GET, "sae")
    return None if pk is None else sae_get(pk).pk


def asked_features(request: HttpRequest, *also: str) -> QuerySet[Feature]:
    """The features of ?sae= that the filter in the address finds; `also` are names that are no part of the filter."""
    form = FeatureFilterForm(request.GET)
    form.require_known(("sae", *also))
    return form.features_asked(sae=sae_get(whole_asked(request.GET, "sae")).pk)


@api("GET")
def examples(request: HttpRequest) -> Any:
    """All features of ?sae= that the filters of the list leave, with their examples: ?format=json or csv, streamed;
    ?for=spreadsheet makes the CSV one for Excel and the like."""
    how = choice_asked(request.GET, "format", FORMATS, default="json")
    found = asked_features(request, "format", "for")
    filename = f"sae-{whole_asked(request.GET, 'sae')}-features.{how}"
    pieces = examples_exported(found, how, for_spreadsheet=is_for_spreadsheet(request.GET))
    return streamed(request, pieces, content_type=FORMATS[how], filename=filename)


@api("GET", "PATCH")
def feature(request: HttpRequest, pk: int) -> Any:
    """One feature with statistics, logit lists and examples; PATCH changes label, category, notes or is_starred."""
    found = feature_get(pk)
    if request.method == "PATCH":
        return feature_json(feature_update(feature=found, **request.json))
    return {**feature_json(found), **feature_evidence_json(found)}


@api("GET", "POST", spec=FeatureRunSpec)
def extraction(request: HttpRequest) -> Any:
    """Feature runs, newest first, those of ?sae= alone; POST starts one: statistics and examples for every latent of an SAE."""
    if request.method == "GET":
        return paged(feature_run_list(sae=sae_asked(request)), request, feature_run_json, filters=("sae",))
    run = feature_run_start(spec=spec_from_json(FeatureRunSpec, request.json), user=request.user)
    return accepted(run.job, f"/api/v1/features/extraction/{run.pk}")


@api("GET", "DELETE")
def feature_run(request: HttpRequest, pk: int) -> Any:
    """One feature run; DELETE removes it with its examples, words on features stay."""
    run = feature_run_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": feature_run_delete(run=run)}
    return feature_run_json(run)
