"""Live fragments of feature runs, the job's card above the list of features, and of texts that are tried."""

from django.template.loader import render_to_string

from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import ABLATIONS, FEATURE_MAPS, FEATURE_RUNS, LANGUAGE_ANALYSES, TRIED_TEXTS
from apps.features.ablation.selectors import ablation_context
from apps.features.models import Ablation, FeatureMap, FeatureRun, LanguageAnalysis, TriedText
from apps.features.trying.selectors import tried_context


@renders(FEATURE_RUNS)
def render(pk: str) -> str | None:
    """feature-runs/<id>: what the run is doing, or what it found."""
    run = row_or_none(FeatureRun.objects.select_related("sae", "tokenization"), pk)
    if run is None:
        return None
    return render_to_string("features/run.html", {"run": run, "job": None if run.is_ready else run.job})


@renders(LANGUAGE_ANALYSES)
def language_analysis(pk: str) -> str | None:
    """language-analyses/<id>: how its job stands; the page asks for the tables itself once there are some."""
    found = row_or_none(LanguageAnalysis.objects.select_related("run__sae"), pk)
    if found is None:
        return None
    return render_to_string("features/language.html#state", {"row": found, "job": found.job})


@renders(TRIED_TEXTS)
def tried_text(pk: str) -> str | None:
    """tried-texts/<id>: the features of the text, or how its job stands."""
    tried = row_or_none(TriedText.objects.select_related("sae"), pk)
    if tried is None:
        return None
    return render_to_string("features/tried.html", {**tried_context(tried), "is_pushed": True})


@renders(ABLATIONS)
def ablation(pk: str) -> str | None:
    """ablations/<id>: what the model loses without the feature, or how its job stands."""
    rows = Ablation.objects.select_related("feature__sae")
    found = row_or_none(rows, pk)
    if found is None:
        return None
    return render_to_string("features/ablated.html", {**ablation_context(found), "is_pushed": True})


@renders(FEATURE_MAPS)
def feature_map(pk: str) -> str | None:
    """feature-maps/<id>: what the layout's job is doing, or that the map is there."""
    found = row_or_none(FeatureMap.objects.select_related("sae"), pk)
    if found is None:
        return None
    job = None if found.is_ready else found.job
    return render_to_string("features/map_state.html", {"newest": found, "job": job, "is_pushed": True})
