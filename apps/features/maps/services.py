"""Writes about feature maps: laying one out, and deleting it."""

from importlib.util import find_spec

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.selectors import row_of
from apps.core.storage import artifact_remove
from apps.features.models import FeatureMap
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue, jobs_require_none_active
from apps.jobs.states import ACTIVE
from apps.saes.models import Sae
from workers.engine.specs.feature_map import UMAP_MODULE, UMAP_PIP, FeatureMapSpec


@transaction.atomic
def feature_map_start(*, spec: FeatureMapSpec, user: AbstractBaseUser | None = None) -> FeatureMap:
    """Write the row of a new map and queue its job; older maps of the SAE stay. AppError: "package_missing" for UMAP without
    its package, "already_active" while another map of the SAE is laid out."""
    sae = row_of(Sae.objects, "SAE", spec.sae)
    if spec.method == "umap" and not has_umap():
        raise AppError(
            "package_missing",
            "The package umap-learn is not installed.",
            f"{UMAP_PIP}, or choose another method.",
            field="method",
        )
    active = Job.objects.filter(
        subject_entity=FeatureMap.ENTITY, subject_id__in=sae.feature_maps.values("pk"), state__in=ACTIVE
    ).first()
    if active is not None:
        raise AppError("already_active", f"Job {active.pk} already maps {sae}.", "Wait for it.", status=409)
    made = FeatureMap.objects.create(sae=sae, method=spec.method, created_by=user)
    job_enqueue(spec=spec, subject=made, user=user)
    return made


def has_umap() -> bool:
    """Whether UMAP can be asked for here: looked for, not imported."""
    return find_spec(UMAP_MODULE) is not None


def feature_map_delete(*, feature_map: FeatureMap) -> int:
    """Delete a map with its file; returns the bytes freed. Addresses with an area of it stop working."""
    with transaction.atomic():
        jobs_require_none_active(entity=feature_map.ENTITY, pk=feature_map.pk, name=str(feature_map))
        folder = feature_map.folder
        publish(feature_map.topic)
        feature_map.delete()
    return artifact_remove(folder)
