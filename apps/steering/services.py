"""Writes about steering: starting, naming and deleting experiments."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.selectors import row_of
from apps.core.sources import given_name
from apps.features.models import Feature
from apps.jobs.services import job_enqueue, jobs_require_none_active
from apps.saes.models import Sae
from apps.steering.models import Experiment
from workers.engine.specs.steering import SteerSpec


@transaction.atomic
def experiment_start(*, spec: SteerSpec, user: AbstractBaseUser | None = None) -> Experiment:
    """Write the experiment's row and queue its job, which generates with and without steering.

    AppError for features that the SAE does not have, or whose max activation is needed and unknown.
    """
    sae = row_of(Sae.objects, "SAE", spec.sae)
    for feature in spec.features:
        if not 0 <= feature.index < sae.d_sae:
            raise AppError(
                "no_such_feature",
                f"{sae} has no feature {feature.index}.",
                f"Its features are 0 to {sae.d_sae - 1}.",
                field="features",
            )
    max_activations_of(spec)
    experiment = Experiment.objects.create(sae=sae, spec=spec.to_json(), prompt=spec.prompt, created_by=user)
    job_enqueue(spec=spec, subject=experiment, user=user)
    return experiment


def max_activations_of(spec: SteerSpec) -> tuple[float, ...]:
    """The max activation of each steered feature, in order; 0 where no feature run measured one.

    AppError when the Spec's strengths are multiples of one that is not known.
    """
    indices = [feature.index for feature in spec.features]
    rows = Feature.objects.filter(sae=spec.sae, index__in=indices)
    known = dict(rows.values_list("index", "maximum"))
    found = tuple(known.get(index, 0.0) for index in indices)
    if spec.unit != "max_activation":
        return found
    if not Feature.objects.filter(sae=spec.sae).exists():
        raise AppError(
            "no_feature_run",
            "This SAE has no feature run yet, so its features' max activations are not known.",
            "Find its features first, or give raw strengths.",
            field="unit",
        )
    silent = [str(index) for index, maximum in zip(indices, found) if maximum <= 0]
    if silent:
        raise AppError(
            "feature_never_fired",
            f"Feature {', '.join(silent)} never fired in the feature run: its max activation is not known.",
            "Choose another feature, or give raw strengths.",
            field="features",
        )
    return found


def experiment_save(*, experiment: Experiment, name: str) -> Experiment:
    """Keep an experiment under a name."""
    experiment.name = given_name(name)
    experiment.is_saved = True
    experiment.save(update_fields=["name", "is_saved"])
    publish(experiment.topic)
    return experiment


@transaction.atomic
def experiment_delete(*, experiment: Experiment) -> None:
    """Delete an experiment with its texts. AppError 409 while its job is under way."""
    jobs_require_none_active(entity=experiment.ENTITY, pk=experiment.pk, name=str(experiment))
    publish(experiment.topic)
    experiment.delete()
