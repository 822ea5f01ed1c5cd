"""What pages, endpoints, commands and other apps read of language models."""

from pathlib import Path
from typing import Any

from django.db.models import Q, QuerySet

from apps.core.errors import AppError
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.storage import data_path, folder_bytes
from apps.jobs.models import Job
from apps.jobs.states import ACTIVE
from apps.language_models.models import LanguageModel, LanguageModelLookup

SORTS = {
    "newest": "-id",
    "name": "name",
    "size": "-bytes",
    "parameters": "-parameters",
}
LOADS_WEIGHTS = (
    "language_model_import",
    "language_model_quantize",
    "activation_cache",
    "train",
    "evaluate",
    "feature_run",
    "steer",
)
"""Kinds of jobs that hold a language model's weights while they run."""


def language_model_get(pk: int) -> LanguageModel:
    """The language model; NotFound otherwise."""
    return row_of(LanguageModel.objects, "language model", pk)


def language_model_list(*, query: str = "", sort: str = "newest") -> QuerySet[LanguageModel]:
    """Language models whose name or origin contains `query`, sorted by a key of SORTS."""
    return found_by(LanguageModel.objects.all(), query, "name", "origin").order_by(SORTS.get(sort, "-id"), "-id")


def language_model_folder(pk: int) -> Path:
    """Where its weights, tokenizer and vocabulary lie."""
    return data_path("models", pk)


def language_model_folders(language_model: LanguageModel) -> list[Path]:
    """Its folder, and what a download that broke left with the import's jobs."""
    downloads = [data_path("jobs", job, "download") for job in language_model.jobs.values_list("pk", flat=True)]
    return [language_model_folder(language_model.pk), *downloads]


def language_model_disk_bytes(language_model: LanguageModel) -> int:
    """Bytes that its deletion frees."""
    return sum(folder_bytes(folder) for folder in language_model_folders(language_model))


def lookup_get(pk: int) -> LanguageModelLookup:
    """The look-up; NotFound otherwise."""
    return row_of(LanguageModelLookup.objects, "look-up of a language model", pk)


def work_with_language_model(language_model: LanguageModel) -> QuerySet[Job]:
    """Unfinished jobs that load the model: about itself, or about what was made with it, however indirectly."""
    return Job.objects.filter(_subjects_from(language_model), kind__in=LOADS_WEIGHTS, state__in=ACTIVE)


def _subjects_from(language_model: LanguageModel) -> Q:
    """Jobs about the model, and about the rows that refer to it or to one of those, in any app.

    Datasets are left out: their tokenizations take the model's tokenizer alone.
    """
    found = Q(subject_entity=LanguageModel.ENTITY, subject_id=language_model.pk)
    seen = {LanguageModel}
    waiting: list[QuerySet[Any]] = [LanguageModel.objects.filter(pk=language_model.pk)]
    while waiting:
        rows = waiting.pop(0)
        for relation in rows.model._meta.related_objects:
            model = relation.related_model
            if model in seen or not hasattr(model, "ENTITY") or model._meta.app_label == "datasets":
                continue
            seen.add(model)
            referring = model._default_manager.filter(**{f"{relation.field.name}__in": rows.values("pk")})
            found |= Q(subject_entity=model.ENTITY, subject_id__in=referring.values("pk"))
            waiting.append(referring)
    return found


def language_model_ready(pk: int) -> LanguageModel:
    """The language model, imported whole; AppError "not_ready" otherwise."""
    language_model = language_model_get(pk)
    if not language_model.is_ready:
        raise AppError(
            "not_ready",
            f"The language model {language_model} is not imported yet.",
            "Wait for its import, or repeat it.",
            status=409,
            field="language_model",
        )
    return language_model


def site_width(language_model: LanguageModel, layer: int, site: str) -> int:
    """Width of the activation at a hook site. AppError "no_such_hook_site" when the model lacks it."""
    if not 0 <= layer < language_model.layers:
        raise AppError(
            "no_such_hook_site",
            f"{language_model} has no layer {layer}.",
            f"Its layers are 0 to {language_model.layers - 1}.",
            field="layer",
        )
    sites = {entry["site"]: entry["width"] for entry in language_model.report["hook_sites"] if entry["layer"] == layer}
    if site not in sites:
        raise AppError(
            "no_such_hook_site",
            f"Layer {layer} of {language_model} has no hook site {site}.",
            f"It has {', '.join(sites) or 'none'}.",
            field="site",
        )
    return sites[site]


def language_model_json(language_model: LanguageModel) -> dict[str, Any]:
    """The language model as the API and `--json` show it."""
    report = language_model.report
    return {
        "id": language_model.pk,
        "name": language_model.name,
        "ready": language_model.is_ready,
        "source": language_model.source,
        "origin": language_model.origin,
        "revision": language_model.revision,
        "licence": language_model.licence,
        "model_type": language_model.model_type,
        "layers": language_model.layers,
        "d_model": language_model.d_model,
        "vocab_size": language_model.vocab_size,
        "max_context": report.get("max_context"),
        "parameters": language_model.parameters,
        "dtype": language_model.dtype,
        "quantization": language_model.quantization,
        "footprint_bytes": language_model.footprint_bytes,
        "bytes": language_model.bytes,
        "tokenizer_sha256": language_model.tokenizer_sha256,
        "weights_sha256": language_model.weights_sha256,
        "weights_checked_at": report.get("weights_checked_at"),
        "created_at": language_model.created_at.isoformat(),
        "ready_at": language_model.ready_at.isoformat() if language_model.ready_at else None,
        "url": language_model.get_absolute_url(),
        "topic": language_model.topic,
    }


def lookup_json(lookup: LanguageModelLookup) -> dict[str, Any]:
    """The look-up as the API shows it; `found` is what the Hub said, {} before it answered."""
    return {
        "id": lookup.pk,
        "repo_id": lookup.repo_id,
        "ready": lookup.is_ready,
        "found": lookup.report,
        "created_at": lookup.created_at.isoformat(),
        "url": lookup.get_absolute_url(),
        "topic": lookup.topic,
    }
