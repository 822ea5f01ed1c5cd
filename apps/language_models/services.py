"""Everything that changes language models: look-up, import, another try, quantize, rebuild vocabularies, rename, delete."""

from dataclasses import replace
from pathlib import PurePath

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.sources import free_name, given_name, local_path
from apps.core.storage import artifact_remove
from apps.jobs.models import Job
from apps.jobs.services import job_again, job_enqueue, jobs_require_none_active, passing_subjects_delete
from apps.jobs.states import ACTIVE
from apps.language_models.models import LanguageModel, LanguageModelLookup
from apps.language_models.selectors import (
    language_model_folder,
    language_model_folders,
    language_model_ready,
    work_with_language_model,
)
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.hub_ids import hub_id
from workers.engine.specs.language_models import (
    LanguageModelCheckSpec,
    LanguageModelImportSpec,
    LanguageModelLookupSpec,
    LanguageModelQuantizeSpec,
    VocabularyRebuildSpec,
    quantization_check,
)
from workers.engine.text.spelling import VOCABULARY_NAME, spelling_is_current


def language_model_lookup(
    *, spec: LanguageModelLookupSpec, user: AbstractBaseUser | None = None
) -> LanguageModelLookup:
    """Queue a question to the Hub; look-ups that are older than a day go. AppError for what is no repository."""
    spec = replace(spec, repo_id=hub_id(spec.repo_id))
    with transaction.atomic():
        passing_subjects_delete(LanguageModelLookup.objects.all())
        lookup = LanguageModelLookup.objects.create(repo_id=spec.repo_id[:200], created_by=user)
        job_enqueue(spec=spec, subject=lookup, user=user)
    return lookup


def language_model_import(*, spec: LanguageModelImportSpec, user: AbstractBaseUser | None = None) -> LanguageModel:
    """Write the row of a language model to come and queue its import. AppError for a bad path or repository."""
    spec = _source_checked(spec)
    origin = spec.repo_id if spec.source == "hub" else PurePath(spec.path).name
    with transaction.atomic():
        language_model = LanguageModel.objects.create(
            name=spec.name or free_name(LanguageModel, origin.rstrip("/").rsplit("/", 1)[-1]),
            source=spec.source,
            origin=origin[:500],
            revision=spec.revision[:100],
            quantization=_wished(spec.quantization),
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


def _wished(quantization: str) -> str:
    """As rows hold it: what "as published" means is known after the import."""
    return "" if quantization == "auto" else quantization


def language_model_import_again(
    *, language_model: LanguageModel, quantization: str = "", user: AbstractBaseUser | None = None
) -> Job:
    """The import's job: the one under way, or a new try of one that failed, in `quantization` if one is given.

    AppError when the model is ready.
    """
    changes = {"quantization": quantization} if quantization else {}
    with transaction.atomic():
        job = job_again(subject=language_model, hint="Quantize it, or delete it first.", user=user, changes=changes)
        language_model.quantization = _wished(job.loaded_spec.quantization)
        language_model.save(update_fields=["quantization"])
    return job


def language_model_quantize(*, spec: LanguageModelQuantizeSpec, user: AbstractBaseUser | None = None) -> LanguageModel:
    """Hold a ready model in another quantization; its files, and what refers to it, stay.

    AppError for a model that cannot be held so, "job_active" (409) while another job works with it: that one
    would see both.
    """
    language_model = language_model_ready(spec.language_model)
    try:
        quantization_check(spec.quantization, language_model.report.get("nf4_misfit", ""))
    except SpecInvalid as error:
        raise AppError.from_engine(error) from error
    with transaction.atomic():
        job = work_with_language_model(language_model).first()
        if job is not None:
            raise AppError(
                "job_active",
                f"Job {job.pk} ({job.title}) still works with {language_model}.",
                "Wait for it, or cancel it first.",
                status=409,
            )
        job_enqueue(spec=spec, subject=language_model, user=user)
    return language_model


def language_model_check(*, spec: LanguageModelCheckSpec, user: AbstractBaseUser | None = None) -> LanguageModel:
    """Queue a look at a ready model's weights: are they still those of the import? AppError "already_active"."""
    language_model = language_model_ready(spec.language_model)
    with transaction.atomic():
        job_enqueue(spec=spec, subject=language_model, user=user)
    return language_model


def language_model_rename(*, language_model: LanguageModel, name: str) -> LanguageModel:
    """Give a language model another name."""
    language_model.name = given_name(name)
    language_model.save(update_fields=["name"])
    publish(language_model.topic)
    return language_model


def vocabulary_rebuild(*, spec: VocabularyRebuildSpec, user: AbstractBaseUser | None = None) -> LanguageModel:
    """Queue a job that stores a ready model's vocabulary again. AppError "already_active"."""
    language_model = language_model_ready(spec.language_model)
    with transaction.atomic():
        job_enqueue(spec=spec, subject=language_model, user=user)
    return language_model


def vocabularies_rebuild() -> list[Job]:
    """Queue a job for each ready model whose vocabulary another version of the studio stored, or that has lost it; one that is
    queued or runs already does it."""
    jobs = []
    for language_model in LanguageModel.objects.filter(ready_at__isnull=False).order_by("pk"):
        folder = language_model_folder(language_model.pk)
        spec = VocabularyRebuildSpec(language_model=language_model.pk)
        is_under_way = language_model.jobs.filter(kind=spec.KIND, state__in=ACTIVE).exists()
        if folder.is_dir() and not is_under_way and not spelling_is_current(folder / VOCABULARY_NAME):
            jobs.append(job_enqueue(spec=spec, subject=language_model))
    return jobs


def language_model_delete(*, language_model: LanguageModel) -> int:
    """Delete a language model, its weights and what a broken download left; returns the bytes freed.

    StillReferenced (409) when tokenizations, activation caches or SAEs stand on it; AppError "job_active" while a job
    works on it.
    """
    folders = language_model_folders(language_model)
    with transaction.atomic():
        jobs_require_none_active(entity=LanguageModel.ENTITY, pk=language_model.pk, name=str(language_model))
        references_require_none(language_model)
        publish(language_model.topic)
        language_model.delete()
    return sum(artifact_remove(folder) for folder in folders)
