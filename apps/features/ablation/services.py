"""Writes about ablations: measuring what the language model loses without a feature, and forgetting it."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError, NotFound
from apps.core.live.publishing import publish
from apps.features.models import Ablation, Feature
from apps.jobs.services import job_enqueue, jobs_require_none_active
from workers.engine.specs.ablation import AblateSpec


@transaction.atomic
def ablation_start(*, spec: AblateSpec, user: AbstractBaseUser | None = None) -> Ablation:
    """Queue the measurement for a feature, on the contexts of its feature run. What an earlier one found stays shown until
    the new one is done. AppError: "no_feature_run", "feature_dead", "already_active"."""
    feature = Feature.objects.select_related("sae", "run").filter(sae=spec.sae, index=spec.index).first()
    if feature is None and not Feature.objects.filter(sae=spec.sae).exists():
        raise _no_run(f"SAE {spec.sae} has no features yet.")
    if feature is None:
        raise NotFound("feature", spec.index)
    if feature.run is None:
        raise _no_run(f"The run that measured feature {spec.index} was deleted.")
    if feature.maximum <= 0:
        raise AppError(
            "feature_dead", f"Feature {spec.index} fired nowhere.", "There is nothing to take out.", field="index"
        )
    ablation, _ = Ablation.objects.get_or_create(feature=feature, run=feature.run, defaults={"created_by": user})
    job_enqueue(spec=spec, subject=ablation, user=user)
    return ablation


def _no_run(words: str) -> AppError:
    return AppError("no_feature_run", words, "Start a feature run: it finds the contexts to read.", field="sae")


def ablation_delete(*, ablation: Ablation) -> int:
    """Forget what was measured; nothing lies on disk."""
    with transaction.atomic():
        jobs_require_none_active(entity=ablation.ENTITY, pk=ablation.pk, name=str(ablation))
        publish(ablation.topic)
        ablation.delete()
    return 0
