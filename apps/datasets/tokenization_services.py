"""Everything that changes tokenizations and the previews of tokens before them."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.storage import artifact_remove
from apps.datasets.models import Dataset, Tokenization, TokenPreview
from apps.datasets.selectors import dataset_ready
from apps.datasets.tokenization_fit import context_length_require_fit
from apps.datasets.tokenization_selectors import tokenization_folder
from apps.datasets.tokenization_settings import variant_words
from apps.jobs.models import Job
from apps.jobs.services import job_again, job_enqueue, job_move, jobs_require_none_active, passing_subjects_delete
from apps.jobs.states import State
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_ready
from workers.engine.specs.tokenization import TokenizeSpec, TokenPreviewSpec

WAITING = (State.QUEUED, State.INTERRUPTED, State.PAUSED)


def tokenization_create(*, spec: TokenizeSpec, user: AbstractBaseUser | None = None) -> Tokenization:
    """Write the row of a tokenization to come and queue its job. AppError when dataset or tokenizer cannot serve."""
    dataset, language_model = dataset_ready(spec.dataset), language_model_ready(spec.language_model)
    _require_tokenizable(dataset, language_model, spec)
    with transaction.atomic():
        tokenization = Tokenization.objects.create(
            dataset=dataset,
            language_model=language_model,
            context_length=spec.context_length,
            variant=variant_words(spec),
            created_by=user,
        )
        job_enqueue(spec=spec, subject=tokenization, user=user)
        publish(dataset.topic)
    return tokenization


def _require_tokenizable(dataset: Dataset, language_model: LanguageModel, spec: TokenizeSpec) -> None:
    columns = dataset.report.get("columns", [])
    if spec.text_column and spec.text_column not in columns:
        raise AppError(
            "column_not_found",
            f"{dataset} has no column {spec.text_column!r}.",
            f"Its columns are {', '.join(columns)}.",
            field="text_column",
        )
    if not (spec.text_column or dataset.text_column):
        raise AppError(
            "no_text", f"{dataset} has no text column of its own.", "Name one of its columns.", field="text_column"
        )
    if not language_model.tokenizer_sha256:
        raise AppError(
            "no_tokenizer",
            f"{language_model} came without a tokenizer.",
            "Choose another model.",
            field="language_model",
        )
    context_length_require_fit(
        spec.context_length, language_model, hint="Choose a shorter context.", field="context_length"
    )


def tokenization_again(*, tokenization: Tokenization, user: AbstractBaseUser | None = None) -> Job:
    """The tokenization's job: the one under way, or a new try of one that failed."""
    return job_again(subject=tokenization, hint="Delete it to cut it again.", user=user)


def tokenization_delete(*, tokenization: Tokenization) -> int:
    """Delete a tokenization and its contexts; returns the bytes freed.

    StillReferenced (409) when activation caches, SAEs, evaluations or feature runs stand on it; AppError "job_active"
    while a job works on it.
    """
    pk, dataset = tokenization.pk, tokenization.dataset
    with transaction.atomic():
        jobs_require_none_active(entity=Tokenization.ENTITY, pk=pk, name=str(tokenization))
        references_require_none(tokenization)
        publish(tokenization.topic, dataset.topic)
        tokenization.delete()
    return artifact_remove(tokenization_folder(pk))


def token_preview_start(*, spec: TokenPreviewSpec, user: AbstractBaseUser | None = None) -> TokenPreview:
    """Write the row of a preview to come and queue its job. AppError as for a tokenization.

    Only the newest one of a user and dataset is worked on: one that still waits is cancelled. One that the warm child
    has in hand ends by itself in a moment; stopping it could cost the child. Previews older than a day go.
    """
    dataset, language_model = dataset_ready(spec.dataset), language_model_ready(spec.language_model)
    _require_tokenizable(dataset, language_model, spec)
    with transaction.atomic():
        for earlier in TokenPreview.objects.filter(dataset=dataset, created_by=user, ready_at=None):
            for job in earlier.jobs.filter(state__in=WAITING):
                job_move(job, State.CANCELLED, frm=WAITING, text="A newer preview took its place.")
        passing_subjects_delete(TokenPreview.objects.all())
        preview = TokenPreview.objects.create(dataset=dataset, language_model=language_model, created_by=user)
        job_enqueue(spec=spec, subject=preview, user=user)
    return preview
