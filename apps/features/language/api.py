"""The language of features as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api
from apps.core.errors import AppError
from apps.core.spec_forms import spec_from_json
from apps.features.language.selectors import language_analysis_get, language_analysis_json, language_json
from apps.features.language.services import language_analysis_delete, language_analysis_start
from apps.features.selectors import feature_get
from workers.engine.specs.feature_language import FeatureLanguageSpec


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
