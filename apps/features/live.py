"""Live fragment of feature runs: the job's card above the list of features."""

from django.template.loader import render_to_string

from apps.core.live.rendering import renders
from apps.core.live.topics import FEATURE_RUNS
from apps.features.models import FeatureRun


@renders(FEATURE_RUNS)
def render(pk: str) -> str | None:
    """feature-runs/<id>: what the run is doing, or what it found."""
    run = FeatureRun.objects.select_related("sae", "tokenization").filter(pk=pk).first() if pk.isdecimal() else None
    if run is None:
        return None
    return render_to_string("features/run.html", {"run": run, "job": None if run.is_ready else run.job})
