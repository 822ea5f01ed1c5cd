"""Writes about the language of features: queuing its analysis, and forgetting one."""

from pathlib import Path

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError, NotFound
from apps.core.live.publishing import publish
from apps.core.selectors import row_of
from apps.core.storage import artifact_remove, folder_bytes
from apps.features.artifacts import run_folder
from apps.features.models import FeatureRun, LanguageAnalysis
from apps.features.services import run_bytes_count
from apps.jobs.services import job_enqueue, jobs_require_none_active
from workers.engine.specs.feature_language import FeatureLanguageSpec


@transaction.atomic
def language_analysis_start(*, spec: FeatureLanguageSpec, user: AbstractBaseUser | None = None) -> LanguageAnalysis:
    """Queue the job that analyses the language of one feature of a run, or of all; what an earlier one found stays shown until
    it has ended."""
    run = row_of(FeatureRun.objects.select_related("sae"), "feature run", spec.run)
    if not run.is_ready:
        raise AppError("run_not_ready", f"{run} has not ended yet.", "Wait until its job has ended.", status=409)
    if spec.feature is not None and spec.feature >= run.sae.d_sae:
        raise NotFound("feature", spec.feature)
    analysis, _ = LanguageAnalysis.objects.get_or_create(run=run, index=spec.feature, defaults={"created_by": user})
    job_enqueue(spec=spec, subject=analysis, user=user)
    return analysis


def language_analysis_delete(*, analysis: LanguageAnalysis) -> int:
    """Forget an analysis; that of all features takes its files and all parsed contexts of the run along."""
    with transaction.atomic():
        jobs_require_none_active(entity=analysis.ENTITY, pk=analysis.pk, name=str(analysis))
        folder, of_all = language_folder(analysis.run_id), analysis.index is None
        if of_all:
            run_bytes_count(run_id=analysis.run_id, coming=-folder_bytes(folder))
        publish(analysis.topic)
        analysis.delete()
    return artifact_remove(folder) if of_all else 0


def language_folder(run_id: int) -> Path:
    """Where the parsed contexts and the analyses of all features of a run lie."""
    return run_folder(run_id) / "language"
