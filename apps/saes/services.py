"""Everything that changes SAEs from the web side: rename, evaluate, delete."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.live.topics import SAES, topic
from apps.core.references import references_require_none
from apps.core.sources import given_name
from apps.core.storage import artifact_remove, data_path
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_fit import tokenization_require_fit
from apps.jobs.services import job_enqueue, jobs_require_none_active
from apps.saes.models import Evaluation, Sae
from workers.engine.specs.saes import EvaluateSpec

DEPENDENTS = {
    "evaluations": "",
    "feature_runs": "features",
    "feature_maps": "",
    "exports": "exports",
    "experiments": "",
}
"""What goes with an SAE: reverse relation → data folder of its rows, empty where they have none of their own."""


def sae_rename(*, sae: Sae, name: str) -> None:
    """Give the SAE another name."""
    sae.name = given_name(name)
    sae.save(update_fields=["name"])
    publish(topic(SAES, sae.pk))


def evaluation_start(*, spec: EvaluateSpec, user: AbstractBaseUser | None = None) -> Evaluation:
    """Measure an SAE on the held-out part of a tokenization made with its language model's tokenizer."""
    sae = Sae.objects.select_related("language_model").filter(pk=spec.sae).first()
    if sae is None:
        raise AppError("sae_missing", f"There is no SAE {spec.sae}.", "Choose one from the list of SAEs.", field="sae")
    tokenization = _tokenization_for(sae, spec.tokenization)
    with transaction.atomic():
        evaluation = Evaluation.objects.create(sae=sae, tokenization=tokenization, created_by=user)
        job_enqueue(spec=spec, subject=evaluation, user=user)
        publish(topic(SAES, sae.pk))
    return evaluation


def _tokenization_for(sae: Sae, pk: int) -> Tokenization:
    tokenization = Tokenization.objects.filter(pk=pk, ready_at__isnull=False).first()
    if tokenization is None:
        raise AppError(
            "tokenization_not_ready",
            f"Tokenization {pk} does not exist or is not ready.",
            "Choose a ready one, or wait until its job has ended.",
            field="tokenization",
        )
    tokenization_require_fit(tokenization, sae.language_model)
    if tokenization.heldout_contexts == 0:
        raise AppError(
            "nothing_held_out",
            f"{tokenization} holds nothing back for evaluation.",
            "Tokenize a longer dataset, or hold a larger share out.",
            field="tokenization",
        )
    return tokenization


def sae_losses(sae: Sae) -> list[str]:
    """What a deletion would take along, in words: "3 evaluations", "1 feature run"."""
    counts = [
        (sae.evaluations.count(), "evaluation"),
        (sae.feature_runs.count(), "feature run"),
        (sae.features.exclude(label="").count(), "label"),
        (sae.experiments.count(), "steering experiment"),
        (sae.exports.count(), "export"),
    ]
    return [f"{count:,} {word}{'s' if count != 1 else ''}" for count, word in counts if count]


def sae_delete(*, sae: Sae) -> int:
    """Delete the SAE with all that `sae_losses` names; returns the bytes freed.

    AppError 409 while a job works on any of these; StillReferenced while something else stands on the SAE.
    """
    with transaction.atomic():
        folders = [data_path("saes", sae.pk)]
        for relation, folder in DEPENDENTS.items():
            for row in getattr(sae, relation).all():
                for each in (row, *row.parts()):
                    jobs_require_none_active(entity=each.ENTITY, pk=each.pk, name=str(each))
                if folder:
                    folders.append(data_path(folder, row.pk))
        references_require_none(sae)
        gone = topic(SAES, sae.pk)
        sae.delete()
        publish(gone)
    return sum(artifact_remove(folder) for folder in folders)


def evaluation_delete(*, evaluation: Evaluation) -> int:
    """Delete one evaluation and its densities; returns the bytes freed."""
    with transaction.atomic():
        jobs_require_none_active(entity=evaluation.ENTITY, pk=evaluation.pk, name=str(evaluation))
        folder = data_path("saes", evaluation.sae_id, "evaluations", evaluation.pk)
        gone = topic(SAES, evaluation.sae_id)
        evaluation.delete()
        publish(gone)
    return artifact_remove(folder)
