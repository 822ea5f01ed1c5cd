"""What pages, endpoints, commands and other apps read of language models."""

from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from apps.core.errors import AppError, NotFound
from apps.core.storage import data_path
from apps.language_models.models import LanguageModel

SORTS = {
    "new": "-id",
    "name": "name",
    "size": "-bytes",
    "parameters": "-parameters",
}


def language_model_get(pk: int) -> LanguageModel:
    """The language model; NotFound otherwise."""
    try:
        return LanguageModel.objects.get(pk=pk)
    except LanguageModel.DoesNotExist:
        raise NotFound("language model", pk) from None


def language_model_list(*, query: str = "", sort: str = "new") -> QuerySet[LanguageModel]:
    """Language models whose name or origin contains `query`, sorted by a key of SORTS."""
    found = LanguageModel.objects.all()
    if query:
        found = found.filter(name__icontains=query) | found.filter(origin__icontains=query)
    return found.order_by(SORTS.get(sort, "-id"), "-id")


def language_model_folder(pk: int) -> Path:
    """Where its weights, tokenizer and vocabulary lie."""
    return data_path("models", pk)


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


def hook_site_table(language_model: LanguageModel) -> tuple[list[str], list[tuple[int, list[int | None]]]]:
    """The sites the model has, and for each layer their widths in that order (None where a layer lacks one)."""
    widths: dict[int, dict[str, int]] = {}
    for entry in language_model.report.get("hook_sites", []):
        widths.setdefault(entry["layer"], {})[entry["site"]] = entry["width"]
    sites = list(dict.fromkeys(site for layer in widths.values() for site in layer))
    return sites, [(layer, [has.get(site) for site in sites]) for layer, has in sorted(widths.items())]


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
        "bytes": language_model.bytes,
        "tokenizer_sha256": language_model.tokenizer_sha256,
        "weights_sha256": language_model.weights_sha256,
        "created_at": language_model.created_at.isoformat(),
        "ready_at": language_model.ready_at.isoformat() if language_model.ready_at else None,
        "url": language_model.get_absolute_url(),
        "topic": language_model.topic,
    }
