"""What pages, endpoints, commands and other apps read of tokenizations and previews of tokens."""

from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from apps.core.errors import AppError
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.storage import data_path
from apps.datasets.models import Dataset, Tokenization, TokenPreview
from apps.datasets.selectors import dataset_json
from apps.language_models.vocabulary import vocabulary_of


def tokenization_get(pk: int) -> Tokenization:
    """The tokenization; NotFound otherwise."""
    return row_of(Tokenization.objects.select_related("dataset", "language_model"), "tokenization", pk)


def tokenization_list(*, dataset: Dataset | None = None, query: str = "") -> QuerySet[Tokenization]:
    """Tokenizations, of one dataset or all, newest first; `query` is looked for in the dataset's name."""
    found = Tokenization.objects.select_related("dataset", "language_model")
    return found_by(found if dataset is None else found.filter(dataset=dataset), query, "dataset__name")


def usual_tokenizer(dataset: Dataset) -> int | None:
    """The id of the language model whose tokenizer last cut this dataset, else any; None before the first time."""
    newest = dataset.tokenizations.first() or Tokenization.objects.first()
    return newest.language_model_id if newest else None


def tokenization_folder(pk: int) -> Path:
    """Where its contexts lie."""
    return data_path("tokenizations", pk)


def tokenization_ready(pk: int) -> Tokenization:
    """The tokenization, cut whole; AppError "not_ready" otherwise."""
    tokenization = tokenization_get(pk)
    if not tokenization.is_ready:
        raise AppError(
            "not_ready",
            f"The tokenization {tokenization} is not ready yet.",
            "Wait for its job, or repeat it.",
            status=409,
            field="tokenization",
        )
    return tokenization


def duplicate_share(tokenization: Tokenization) -> float | None:
    """Documents whose text stood in an earlier document / all documents; None where that was not counted."""
    report = tokenization.report
    documents = report.get("documents", 0) + report.get("heldout_documents", 0)
    return report["duplicate_documents"] / documents if documents and "duplicate_documents" in report else None


def tokenization_json(tokenization: Tokenization) -> dict[str, Any]:
    """The tokenization as the API and `--json` show it."""
    return {
        "id": tokenization.pk,
        "name": str(tokenization),
        "ready": tokenization.is_ready,
        "dataset": {"id": tokenization.dataset_id, "name": str(tokenization.dataset)},
        "language_model": {"id": tokenization.language_model_id, "name": str(tokenization.language_model)},
        "context_length": tokenization.context_length,
        "variant": tokenization.variant,
        "contexts": tokenization.contexts,
        "heldout_contexts": tokenization.heldout_contexts,
        "tokens": tokenization.tokens,
        "train_tokens": tokenization.train_tokens,
        "heldout_tokens": tokenization.heldout_tokens,
        "bytes": tokenization.bytes,
        "tokenizer_sha256": tokenization.tokenizer_sha256,
        "tokens_sha256": tokenization.tokens_sha256,
        "created_at": tokenization.created_at.isoformat(),
        "ready_at": tokenization.ready_at.isoformat() if tokenization.ready_at else None,
        "url": tokenization.get_absolute_url(),
        "topic": tokenization.topic,
    }


def dataset_statistics(dataset: Dataset) -> dict[str, Any]:
    """The importer's numbers of the dataset and the tokenizer's numbers of each of its tokenizations."""
    return {
        "dataset": {**dataset_json(dataset), "report": dataset.report},
        "excluded_rows": dataset.marks.filter(excluded=True).count(),
        "edited_rows": dataset.marks.exclude(text=None).exclude(text="").count(),
        "tokenizations": [
            {
                **tokenization_json(tokenization),
                "report": tokenization.report,
                "duplicate_share": duplicate_share(tokenization),
                "statistics_url": f"/api/v1/tokenizations/{tokenization.pk}/statistics",
            }
            for tokenization in tokenization_list(dataset=dataset)
        ],
    }


def begins_with_first_token(tokenization: Tokenization | None) -> bool:
    """Whether its contexts begin with the tokenizer's first token, as those of an SAE of unknown origin are taken to. Reports
    of older versions count the first tokens put in front."""
    if tokenization is None:
        return True
    report = tokenization.report
    return report["first_token_id"] is not None if "first_token_id" in report else bool(report.get("bos_tokens", 1))


def preview_get(pk: int) -> TokenPreview:
    """The preview; NotFound otherwise, and after a day."""
    return row_of(TokenPreview.objects.select_related("dataset", "language_model"), "preview", pk)


def preview_json(preview: TokenPreview) -> dict[str, Any]:
    """The preview as the API and `--json` show it; `rows` as in TokenPreviewResult."""
    return {
        "id": preview.pk,
        "ready": preview.is_ready,
        "dataset": {"id": preview.dataset_id, "name": str(preview.dataset)},
        "language_model": {"id": preview.language_model_id, "name": str(preview.language_model)},
        "rows": preview.report.get("rows", []),
        "scheme": vocabulary_of(preview.language_model_id).spelling.scheme if preview.is_ready else "",
        "created_at": preview.created_at.isoformat(),
        "url": preview.get_absolute_url(),
        "topic": preview.topic,
    }
