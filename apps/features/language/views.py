"""The buttons of the feature page's Language panel."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from apps.core.errors import AppError
from apps.features.language.services import language_analysis_start
from apps.features.models import Feature
from workers.engine.specs.feature_language import FeatureLanguageSpec


@require_POST
def language_start(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """Analyse this feature, or with of=all in the form every feature of its run; then back to the panel, the view kept."""
    feature = get_object_or_404(Feature.objects.select_related("run"), sae=sae_id, index=index)
    if feature.run_id is None:
        raise AppError("no_feature_run", "This feature belongs to no run.", "Start a feature run.", status=409)
    of_all = request.POST.get("of") == "all"
    spec = FeatureLanguageSpec(run=feature.run_id, feature=None if of_all else index)
    language_analysis_start(spec=spec, user=request.user)
    query = request.GET.copy()
    query["panel"] = "language"
    return redirect(f"{feature.get_absolute_url()}?{query.urlencode()}")
