"""Everything that changes language models: import, another try, rename, delete."""

from dataclasses import replace

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.sources import free_name, given_name, local_path
from apps.core.storage import artifact_remove
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue, job_retry, jobs_require_none_active
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_folder
from workers.engine.specs.hub_ids import hub_id
from workers.engine.specs.language_models import LanguageModelImportSpec


def language_model_import(*, spec: LanguageModelImportSpec, user: AbstractBaseUser | None = None) -> LanguageModel:
    """Write the row of a language model to come and queue its import. AppError for a bad path or repository."""
    spec = _source_checked(spec)
    origin = spec.repo_id if spec.source == "hub" else spec.path
    with transaction.atomic():
        language_model = LanguageModel.objects.create(
            name=spec.name or free_name(LanguageModel, origin.rstrip("/").rsplit("/", 1)[-1]),
            source=spec.source,
            origin=origin[:500],
            revision=spec.revision[:100],
            created_by=user,
        )
        job_enqueue(spec=spec, subject=language_model, user=user)
    return language_model


def _source_checked(spec: LanguageModelImportSpec) -> LanguageModelImportSpec:
    """The Spec with a bare repository id or an absolute path, and a usable name."""
    name = given_name(spec.name) if spec.name else ""
    if spec.source == "hub":
        return replace(spec, name=name, repo_id=hub_id(spec.repo_id))
    if spec.source == "gguf":
        return replace(spec, name=name, path=str(local_path(spec.path, suffixes=(".gguf",))))
    return replace(spec, name=name, path=str(local_path(spec.path, folder=True)))


def language_model_import_again(*, language_model: LanguageModel, user: AbstractBaseUser | None = None) -> Job:
    """The import's job: the one under way, or a new try of one that failed. AppError when the model is ready."""
    if language_model.is_ready:
        raise AppError(
            "already_ready", f"{language_model} is imported already.", "Delete it to import again.", status=409
        )
    job = language_model.job
    if job is None:
        raise AppError("no_job", f"{language_model} has no import to repeat.", "Import it anew.", status=409)
    return job if job.is_active else job_retry(job=job, user=user)


def language_model_rename(*, language_model: LanguageModel, name: str) -> LanguageModel:
    """Give a language model another name."""
    language_model.name = given_name(name)
    language_model.save(update_fields=["name"])
    publish(language_model.topic)
    return language_model


def language_model_delete(*, language_model: LanguageModel) -> int:
    """Delete a language model and its weights; returns the bytes freed.

    StillReferenced (409) when tokenizations, activation caches or SAEs stand on it; AppError "job_active" while a job
    works on it.
    """
    pk = language_model.pk
    with transaction.atomic():
        jobs_require_none_active(entity=LanguageModel.ENTITY, pk=pk, name=str(language_model))
        references_require_none(language_model)
        publish(language_model.topic)
        language_model.delete()
    return artifact_remove(language_model_folder(pk))
