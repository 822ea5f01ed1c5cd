"""Presets as files: versioned JSON, one object or a list of them.

{"format": "mistudio-preset", "version": 1, "kind": "training", "name": …, "description": …, "schema": 2, "spec": {…}}

`version` is that of this envelope, `schema` that of the kind's Spec; a newer one of either is refused, an older schema is
brought up to date. Training specs may use the seed's names.
"""

from dataclasses import dataclass
from typing import Any

from apps.core.errors import AppError
from apps.presets.kinds import KINDS, PresetKind
from apps.presets.models import Preset
from apps.presets.seed_names import seed_names_translate
from apps.presets.selectors import preset_options

FORMAT = "mistudio-preset"
VERSION = 1
MOST_AT_ONCE = 200
TEXTS = ("name", "description")


@dataclass(frozen=True)
class Draft:
    """A preset as a file describes it, checked; not yet a row."""

    kind: PresetKind
    name: str
    description: str
    options: dict[str, Any]


def preset_document(preset: Preset) -> dict[str, Any]:
    """The preset as it is exported."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": preset.kind,
        "name": preset.name,
        "description": preset.description,
        "schema": KINDS[preset.kind].spec_class.SCHEMA,
        "spec": preset_options(preset),
    }


def documents_read(content: Any, *, kind: str = "") -> list[Draft]:
    """One exported preset or a list of them, all checked. AppError naming the first that cannot be taken.

    `kind`: the only kind that is welcome.
    """
    documents = content if isinstance(content, list) else [content]
    if not 0 < len(documents) <= MOST_AT_ONCE:
        raise AppError(
            "preset_file", f"The file holds {len(documents)} templates.", f"Send between 1 and {MOST_AT_ONCE}."
        )
    return [_draft(document, number, kind) for number, document in enumerate(documents, 1)]


def _draft(document: Any, number: int, wanted_kind: str) -> Draft:
    try:
        _envelope_check(document, wanted_kind)
        kind = KINDS[document["kind"]]
        options = kind.options_upgrade(document["spec"], document["schema"])
        return Draft(
            kind, document["name"], document.get("description", ""), kind.options_read(_own_names(kind, options))
        )
    except AppError as error:
        name = document.get("name") if isinstance(document, dict) else None
        where = f"Template {number}" + (f", “{name}”" if isinstance(name, str) else "")
        raise AppError(error.code, f"{where}: {error.message}", error.hint, field=error.field) from None


def _envelope_check(document: Any, wanted_kind: str) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise AppError(
            "preset_file", "This is no exported template.", f"Its “format” would be “{FORMAT}”: export one to see how."
        )
    version, schema = document.get("version"), document.get("schema", 1)
    if type(version) is not int or type(schema) is not int or version < 1 or schema < 1:
        raise AppError("preset_file", "Its version or schema is no whole number.", "Export it again.")
    if version > VERSION:
        raise AppError(
            "preset_too_new",
            f"The file comes from a newer version of the studio: its format is {version}, {VERSION} is known here.",
            "Update the studio.",
        )
    if str(document.get("kind")) not in KINDS or (wanted_kind and document["kind"] != wanted_kind):
        known = wanted_kind or ", ".join(KINDS)
        raise AppError("preset_kind", f"Its kind is {document.get('kind')!r}.", f"Welcome here: {known}.", field="kind")
    if not isinstance(document.get("spec"), dict):
        raise AppError("preset_file", "Its “spec” is no JSON object.", "Export it again.", field="spec")
    for text in TEXTS:
        if not isinstance(document.get(text, ""), str) or (text == "name" and not document.get("name")):
            raise AppError("preset_file", f"Its “{text}” is no text.", "Correct the file.", field=text)
    document.setdefault("schema", 1)


def _own_names(kind: PresetKind, options: dict[str, Any]) -> dict[str, Any]:
    """Seed's names in today's; what they say of things that a preset leaves open (width, layers) is dropped."""
    if kind.name != Preset.Kind.TRAINING:
        return options
    translated, _ = seed_names_translate(options)
    return {name: value for name, value in translated.items() if name in options or name not in kind.left_open}
