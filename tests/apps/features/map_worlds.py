"""A map of the SAE of worlds.py: the features in a row from left to right, the dead one without a place."""

import numpy as np
from django.utils import timezone
from safetensors.numpy import save_file

from apps.features.maps.services import feature_map_start
from apps.features.models import FeatureMap
from apps.jobs.models import Job
from apps.saes.models import Sae
from workers.engine.specs.feature_map import FeatureMapResult, FeatureMapSpec


def places(d_sae: int) -> np.ndarray:
    """Feature i at x = -1 + 2 i / (d_sae - 1), y = 0; feature 0 nowhere."""
    xy_F2 = np.stack([np.linspace(-1, 1, d_sae), np.zeros(d_sae)], axis=1).astype(np.float32)
    xy_F2[0] = np.nan
    return xy_F2


def map_result_make(points: int = 5) -> FeatureMapResult:
    """What the engine answers."""
    return FeatureMapResult(
        method="graph",
        package="",
        points=points,
        neighbours_kept=0.25,
        neighbours_kept_n=points,
        neighbours_kept_chance=0.01,
        bytes=100,
        seconds=1.5,
    )


def map_make(sae: Sae, *, is_ready: bool = False) -> FeatureMap:
    """The row with its job, laid out or not."""
    made = feature_map_start(spec=FeatureMapSpec(sae=sae.pk))
    if is_ready:
        Job.objects.filter(pk=made.job.pk).update(state="succeeded")
        made.folder.mkdir(parents=True, exist_ok=True)
        save_file({"xy": places(sae.d_sae)}, made.folder / "map.safetensors")
        made.report, made.method, made.ready_at = map_result_make().to_json(), "graph", timezone.now()
        made.save()
    return made
