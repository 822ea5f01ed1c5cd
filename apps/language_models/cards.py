"""What the cards of language models and look-ups are drawn from: pages and live fragments share it."""

from datetime import datetime
from typing import Any

from apps.core.storage import disk_free_bytes
from apps.core.templatetags.studio import bytes_words
from apps.language_models.fit import ModelShape, context_within, footprint_estimate, quantization_fits
from apps.language_models.models import LanguageModel, LanguageModelLookup


def card_context(language_model: LanguageModel) -> dict[str, Any]:
    """For templates/language_models/detail.html#card."""
    context: dict[str, Any] = {"language_model": language_model, "job": language_model.job}
    if language_model.is_ready:
        context |= memory_context(language_model)
        checked_at = language_model.report.get("weights_checked_at")
        context["weights_checked_at"] = datetime.fromisoformat(checked_at) if checked_at else None
    return context


def memory_context(language_model: LanguageModel) -> dict[str, Any]:
    """The measured footprint with the estimate beside it; the estimate alone where nothing was measured."""
    estimated = footprint_estimate(ModelShape.from_report(language_model.report), language_model.quantization)
    measured = language_model.footprint_bytes
    note = f"measured; estimated {bytes_words(estimated)}" if measured else "estimated"
    return {"memory_bytes": measured or estimated, "memory_note": note}


def lookup_context(lookup: LanguageModelLookup) -> dict[str, Any]:
    """For templates/language_models/new.html#lookup; `fits` is the table once the Hub has answered."""
    job = lookup.job
    context: dict[str, Any] = {"lookup": lookup, "lookup_job": job}
    context["is_gated"] = lookup.report.get("gated") or (job is not None and job.error_code == "gated")
    if lookup.is_ready:
        context |= fit_context(ModelShape.from_report(lookup.report))
        free = disk_free_bytes()
        context |= {"found": lookup.report, "free_bytes": free, "has_disk": lookup.report["bytes"] < free}
    return context


def fit_context(shape: ModelShape) -> dict[str, Any]:
    """For templates/language_models/fit_table.html."""
    fits = quantization_fits(shape)
    return {
        "fits": fits,
        "fit_context_length": context_within(shape),
        "nothing_fits": not any(line.is_recommended for line in fits),
    }
