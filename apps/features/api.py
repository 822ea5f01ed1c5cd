"""Features and feature runs as JSON."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.errors import AppError
from apps.core.json_bodies import fields_check
from apps.core.spec_forms import spec_from_json
from apps.core.streaming import streamed
from apps.features.ablation_services import ablation_delete, ablation_start
from apps.features.ablations import ablation_get, ablation_json
from apps.features.counterparts import counterparts_json, counterparts_of
from apps.features.example_export import FORMATS, examples_exported
from apps.features.forms import FeatureFilterForm
from apps.features.language import language_analysis_get, language_analysis_json, language_json
from apps.features.map_services import feature_map_delete, feature_map_start
from apps.features.maps import map_get, map_json, map_points
from apps.features.models import Feature, FeatureMap
from apps.features.selectors import (
    FoundFeatures,
    feature_evidence_json,
    feature_get,
    feature_json,
    feature_run_get,
    feature_run_json,
    feature_run_list,
    tried_text_get,
)
from apps.features.services import (
    EDITABLE_TOGETHER,
    feature_run_delete,
    feature_run_start,
    feature_update,
    features_update,
    language_analysis_delete,
    language_analysis_start,
    text_try,
    tried_text_delete,
)
from apps.features.trying import tried_json
from apps.saes.models import Sae
from apps.saes.selectors import sae_get
from workers.engine.specs.ablation import AblateSpec
from workers.engine.specs.feature_language import FeatureLanguageSpec
from workers.engine.specs.feature_map import FeatureMapSpec
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.specs.try_text import TryTextSpec


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
    return paged(FoundFeatures(form.found(sae=_sae_asked(request))), request, feature_json)


def _sae_asked(request: HttpRequest) -> int | None:
    """The id of the SAE that ?sae= names; None without it."""
    sae = request.GET.get("sae", "")
    return _sae(sae).pk if sae else None


def _sae(sae: str) -> Sae:
    if not sae.isdecimal():
        raise AppError("bad_filter", f"sae={sae!r} is no id.", "Give the id of an SAE.", field="sae")
    return sae_get(int(sae))


def asked_features(request: HttpRequest, *also: str) -> QuerySet[Feature]:
    """The features of ?sae= that the filter in the address finds; `also` are names that are no part of the filter."""
    form = FeatureFilterForm(request.GET)
    form.require_known(("sae", *also))
    return form.features_asked(sae=_sae(request.GET.get("sae", "")).pk)


@api("GET")
def examples(request: HttpRequest) -> Any:
    """All features of ?sae= that the filters of the list leave, with their examples: ?format=json or csv, streamed."""
    sae, how = request.GET.get("sae", ""), request.GET.get("format", "json")
    if how not in FORMATS:
        raise AppError("bad_format", f"format={how!r} is not known.", f"Known: {', '.join(FORMATS)}.", field="format")
    found = asked_features(request, "format")
    filename = f"sae-{sae}-features.{how}"
    return streamed(request, examples_exported(found, how), content_type=FORMATS[how], filename=filename)


@api("GET", "PATCH")
def feature(request: HttpRequest, pk: int) -> Any:
    """One feature with statistics, logit lists and examples; PATCH changes label, category, notes or is_starred."""
    found = feature_get(pk)
    if request.method == "PATCH":
        if not isinstance(request.json, dict):
            raise AppError("spec_invalid", "The body is not a JSON object.", "Send {…} with the fields to change.")
        return feature_json(feature_update(feature=found, **request.json))
    return {**feature_json(found), **feature_evidence_json(found)}


@api("GET", "POST", spec=FeatureRunSpec)
def extraction(request: HttpRequest) -> Any:
    """Feature runs, newest first, those of ?sae= alone; POST starts one: statistics and examples for every latent of an SAE."""
    if request.method == "GET":
        return paged(feature_run_list(sae=_sae_asked(request)), request, feature_run_json)
    run = feature_run_start(spec=spec_from_json(FeatureRunSpec, request.json), user=request.user)
    return accepted(run.job, f"/api/v1/features/extraction/{run.pk}")


@api("GET", "DELETE")
def feature_run(request: HttpRequest, pk: int) -> Any:
    """One feature run; DELETE removes it with its examples, words on features stay."""
    run = feature_run_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": feature_run_delete(run=run)}
    return feature_run_json(run)


@api("GET", "POST")
def nlp_analysis(request: HttpRequest, pk: int) -> Any:
    """What a parser says of the peaks of one feature; POST starts it anew: 202 with the job."""
    found = feature_get(pk)
    if request.method == "POST":
        if found.run_id is None:
            raise AppError("no_feature_run", "This feature belongs to no run.", "Start a feature run.", status=409)
        spec = FeatureLanguageSpec(run=found.run_id, feature=found.index)
        analysis = language_analysis_start(spec=spec, user=request.user)
        return accepted(analysis.job, f"/api/v1/features/{pk}/nlp-analysis")
    return language_json(found)


@api("POST", spec=FeatureLanguageSpec)
def nlp_analyses(request: HttpRequest) -> Any:
    """Analyse the language of all features of a run, or of one."""
    analysis = language_analysis_start(spec=spec_from_json(FeatureLanguageSpec, request.json), user=request.user)
    return accepted(analysis.job, f"/api/v1/features/nlp-analysis/{analysis.pk}")


@api("GET", "DELETE")
def nlp_job(request: HttpRequest, pk: int) -> Any:
    """One language analysis, of a feature or of all; DELETE forgets it with its files."""
    analysis = language_analysis_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": language_analysis_delete(analysis=analysis)}
    return language_analysis_json(analysis)


@api("POST", spec=TryTextSpec)
def try_text(request: HttpRequest) -> Any:
    """Read a text, or two, with an SAE: 202 with the job; the answer is at features/tried/{id} for a day."""
    tried = text_try(spec=spec_from_json(TryTextSpec, request.json), user=request.user)
    return accepted(tried.job, f"/api/v1/features/tried/{tried.pk}")


@api("GET", "DELETE")
def tried_text(request: HttpRequest, pk: int) -> Any:
    """A text that was tried, with its answer once that is there."""
    tried = tried_text_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": tried_text_delete(tried=tried)}
    return tried_json(tried)


@api("GET", "POST", "DELETE", spec=AblateSpec)
def ablation(request: HttpRequest, pk: int) -> Any:
    """What the language model loses without the feature. POST measures it: 202 with the job; `sae` and `index` are those of
    the feature."""
    found = feature_get(pk)
    if request.method == "POST":
        body = request.json if isinstance(request.json, dict) else {}
        spec = spec_from_json(AblateSpec, {**body, "sae": found.sae_id, "index": found.index})
        started = ablation_start(spec=spec, user=request.user)
        return accepted(started.job, f"/api/v1/features/{pk}/ablation")
    measured = ablation_get(found)
    if request.method == "DELETE":
        return {"deleted": measured.pk, "freed_bytes": ablation_delete(ablation=measured)}
    return ablation_json(measured)


@api("GET")
def counterparts(request: HttpRequest, pk: int) -> Any:
    """The same feature in other SAEs of the language model: the nearest decoder rows of each, by cosine."""
    found = feature_get(pk)
    return counterparts_json(counterparts_of(found.sae, found.index))


@api("GET", "POST", spec=FeatureMapSpec)
def feature_maps(request: HttpRequest) -> Any:
    """Feature maps, newest first, of one SAE by ?sae=; POST lays one out: 202 with the job."""
    if request.method == "POST":
        made = feature_map_start(spec=spec_from_json(FeatureMapSpec, request.json), user=request.user)
        return accepted(made.job, f"/api/v1/features/maps/{made.pk}")
    sae, found = _sae_asked(request), FeatureMap.objects.select_related("sae")
    return paged(found if sae is None else found.filter(sae=sae), request, map_json)


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
