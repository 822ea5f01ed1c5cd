"""What a look-up says in numbers, before anything is imported: rows, bytes and estimated tokens of each split."""

from dataclasses import dataclass
from typing import Any

from apps.core.storage import disk_free_bytes
from apps.datasets.models import DatasetLookup
from workers.engine.specs.base import Record
from workers.engine.specs.datasets import DatasetImportSpec, is_named_like_an_id

BYTES_PER_TOKEN = 4
"""UTF-8 bytes of English text for one token of a usual tokenizer, and bytes that a stored token takes (int32)."""
USUAL_ROWS = DatasetImportSpec(repo_id="any").row_cap or 0


@dataclass(frozen=True, kw_only=True)
class SplitEstimate(Record):
    """One split. `tokens` and `tokenized_bytes` are estimates from the first rows; None where the Hub tells no rows."""

    name: str
    rows: int | None
    bytes: int | None
    tokens: int | None
    tokenized_bytes: int | None


def splits_estimated(found: dict[str, Any]) -> list[SplitEstimate]:
    """The splits of a DatasetLookupResult's JSON; none of an empty one."""
    return [
        SplitEstimate(
            name=split["name"],
            rows=split["rows"],
            bytes=split["bytes"],
            tokens=tokens_estimated(split["rows"], found["text_bytes_per_row"]),
            tokenized_bytes=_tokenized_bytes(split["rows"], found["text_bytes_per_row"]),
        )
        for split in found.get("splits", [])
    ]


def tokens_estimated(rows: int | None, text_bytes_per_row: float) -> int | None:
    """Text bytes / 4."""
    return None if rows is None else round(rows * text_bytes_per_row / BYTES_PER_TOKEN)


def _tokenized_bytes(rows: int | None, text_bytes_per_row: float) -> int | None:
    tokens = tokens_estimated(rows, text_bytes_per_row)
    return None if tokens is None else BYTES_PER_TOKEN * tokens


def lookup_context(lookup: DatasetLookup) -> dict[str, Any]:
    """For templates/datasets/new.html#lookup."""
    job = lookup.job
    context: dict[str, Any] = {"lookup": lookup, "lookup_job": job, "free_bytes": disk_free_bytes()}
    context["is_refused"] = job is not None and job.error_code == "gated"
    if lookup.is_ready:
        found = lookup.report
        splits = splits_estimated(found)
        chosen = next((split for split in splits if split.name == found["split"]), None)
        usual = USUAL_ROWS if chosen is None or chosen.rows is None else min(chosen.rows, USUAL_ROWS)
        context |= {
            "found": found,
            "has_disk": found["bytes"] < context["free_bytes"],
            "splits": splits,
            "chosen": chosen,
            "is_text_an_id": is_named_like_an_id(found["text_column"]),
            "split_words": f"split {chosen.name}" if chosen else "",
            "config_words": f"configuration {found['config']}" if found["config"] else "all files",
            "usual_rows": usual,
            "usual_tokens": tokens_estimated(usual, found["text_bytes_per_row"]),
            "columns": list(zip(found["columns"], found["column_types"])),
            "sample": [[row.get(column, "") for column in found["columns"]] for row in found["first_rows"]],
        }
    return context
