"""Features with their examples as one JSON document or one CSV table, written piece by piece."""

import json
from collections.abc import Iterator

from django.db.models import QuerySet

from apps.core.csv_tables import MEDIA_TYPE, csv_pieces
from apps.core.errors import AppError
from apps.features import artifacts
from apps.features.models import Feature
from apps.features.selectors import feature_evidence_json, feature_json

FORMATS = {"json": "application/json", "csv": MEDIA_TYPE}
"""Format → media type."""
ROWS_AT_ONCE = 200
COLUMNS = (
    *("sae", "feature", "label", "category", "density", "maximum", "kind", "context", "peak_value", "peak_token"),
    *("text", "tokens", "activations"),
)
"""Of the CSV table, a row for each example; the last two are JSON lists of equal length."""


def examples_exported(features: QuerySet[Feature], how: str, *, for_spreadsheet: bool = False) -> Iterator[str]:
    """The pieces of the document; `how` is a key of FORMATS. A feature whose run is gone has no examples. AppError "bad_for"
    for JSON for spreadsheets."""
    if for_spreadsheet and how != "csv":
        raise AppError("bad_for", "Spreadsheets are sent CSV alone.", "Ask for the format csv.", field="for")
    rows = features.select_related("sae", "run").iterator(chunk_size=ROWS_AT_ONCE)
    if how == "json":
        return _json_pieces(rows)
    lines = (_row(feature, example) for feature in rows for example in _examples(feature))
    return csv_pieces(COLUMNS, lines, for_spreadsheet=for_spreadsheet)


def _json_pieces(rows: Iterator[Feature]) -> Iterator[str]:
    """{"features": [{…}, …]}, each as GET /api/v1/features/{id} shows it."""
    yield '{"features": ['
    for number, feature in enumerate(rows):
        whole = {**feature_json(feature), **_evidence(feature)}
        yield f"{',' if number else ''}\n{json.dumps(whole, ensure_ascii=False)}"
    yield "\n]}\n"


def _evidence(feature: Feature) -> dict[str, object]:
    try:
        return feature_evidence_json(feature)
    except AppError:
        return {"examples": []}


def _examples(feature: Feature) -> list[artifacts.Example]:
    try:
        return artifacts.examples_read(feature.run_id, feature.index) if feature.run_id else []
    except AppError:
        return []


def _row(feature: Feature, example: artifacts.Example) -> tuple[object, ...]:
    texts = example.texts
    return (
        *(feature.sae_id, feature.index, feature.label, feature.category, feature.density, feature.maximum),
        *(artifacts.example_kind(example.group), example.context, example.peak_value, texts[example.peak]),
        "".join(texts),
        json.dumps(list(example.tokens), ensure_ascii=False),
        json.dumps([round(value, 4) for value in example.activations]),
    )
