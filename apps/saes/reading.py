"""How an SAE was made, and where a result was read otherwise than the SAE was trained: in another precision, or in longer
contexts."""

import json
from typing import Any

from apps.core.storage import data_path
from apps.saes.models import Sae
from workers.engine.specs.read_as import ReadAs


def provenance(sae: Sae) -> dict[str, Any]:
    """The provenance record beside the weights; empty when the SAE came without one."""
    path = data_path("saes", sae.pk, "provenance.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def trained_as(sae: Sae) -> ReadAs:
    """How the language model was read while the SAE was trained, by its provenance record; where that is silent, by the
    activation cache and the tokenization. What nobody knows is empty."""
    record = provenance(sae)
    effective, inputs = record.get("effective", {}), record.get("inputs", {})
    held = effective if effective.get("lm_dtype") else _cache_report(sae)
    return ReadAs(
        lm_dtype=held.get("lm_dtype") or "",
        quantization=held.get("quantization") or "",
        context_length=inputs.get("context_size") or (sae.tokenization.context_length if sae.tokenization else 0),
    )


def _cache_report(sae: Sae) -> dict[str, Any]:
    run = sae.training_run
    return run.activation_cache.report if run is not None and run.activation_cache else {}


def read_as_of(report: dict[str, Any]) -> ReadAs:
    """What a stored Result says of it; empty in those from before it was kept."""
    return ReadAs.from_json(report.get("read_as") or {})


def reading_notes(sae: Sae, report: dict[str, Any]) -> list[str]:
    """A sentence for each point in which the Result `report` was read otherwise than the SAE was trained."""
    found = read_as_of(report)
    return list(found.differences(trained_as(sae))) if found != ReadAs() else []
