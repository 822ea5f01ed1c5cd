"""What pages, endpoints, commands and other apps read of language models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import Count, Manager, QuerySet

from apps.core.errors import AppError, NotFound
from apps.core.storage import data_path
from apps.language_models.models import LanguageModel

SORTS = {
    "newest": "-id",
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


def language_model_list(*, query: str = "", sort: str = "newest") -> QuerySet[LanguageModel]:
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


@dataclass(frozen=True)
class HookSiteCell:
    """One hook site in the table: its width, and how much was made there."""

    layer: int
    site: str
    width: int
    module: str
    caches: int
    saes: int


def hook_site_rows(language_model: LanguageModel) -> tuple[list[str], list[tuple[int, list[HookSiteCell | None]]]]:
    """The sites the model has, and for each layer a cell for each of them (None where the layer lacks it)."""
    caches = _counts_by_site(language_model.activation_caches)
    saes = _counts_by_site(language_model.saes)
    cells: dict[int, dict[str, HookSiteCell]] = {}
    for entry in language_model.report.get("hook_sites", []):
        place = (entry["layer"], entry["site"])
        cells.setdefault(entry["layer"], {})[entry["site"]] = HookSiteCell(
            *place, entry["width"], entry["module"], caches.get(place, 0), saes.get(place, 0)
        )
    sites = list(dict.fromkeys(site for layer in cells.values() for site in layer))
    return sites, [(layer, [has.get(site) for site in sites]) for layer, has in sorted(cells.items())]


def _counts_by_site(rows: Manager) -> dict[tuple[int, str], int]:
    counted = rows.order_by().values("layer", "site").annotate(count=Count("pk"))
    return {(entry["layer"], entry["site"]): entry["count"] for entry in counted}


def module_rows(language_model: LanguageModel) -> list[dict[str, Any]]:
    """The module tree, depth first, each with `share`: its parameters / all of the model's."""
    total = language_model.parameters or 1
    return [
        {**module, "name": module["path"].rsplit(".", 1)[-1], "share": module["parameters"] / total}
        for module in language_model.report.get("modules", [])
    ]


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
