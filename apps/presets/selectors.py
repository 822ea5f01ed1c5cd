"""What pages, endpoints and commands read of presets; forms of other apps take `preset_asked`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import QuerySet

from apps.core.asking import row_or_none
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.spec_forms import option_is_idle, spec_form
from apps.jobs.models import Job
from apps.presets.kinds import KINDS, PresetKind
from apps.presets.models import Preset
from workers.engine.specs.base import Record

MOST_JOBS = 1_000
"""Newest jobs that are compared with a preset."""
LONGEST_WORDS = 80


@dataclass(frozen=True)
class Difference:
    """An option that two settings decide differently; `preset` and `given` in words."""

    name: str
    label: str
    preset: str
    given: str


def preset_get(pk: int, kind: str = "") -> Preset:
    """The preset, of that kind when one is named; NotFound otherwise."""
    return row_of(Preset.objects.filter(**({"kind": kind} if kind else {})), "template", pk)


def preset_list(*, kind: str = "", query: str = "", favourite: bool = False) -> QuerySet[Preset]:
    """Favourites first, then by name; `query` searches names, descriptions and sources."""
    found = Preset.objects.all()
    if kind:
        found = found.filter(kind=kind)
    if favourite:
        found = found.filter(is_favourite=True)
    return found_by(found, query, "name", "description", "source").order_by("-is_favourite", "kind", "name")


def preset_options(preset: Preset) -> dict[str, Any]:
    """What it decides, in today's names. AppError "preset_too_new"."""
    return KINDS[preset.kind].options_upgrade(preset.spec, preset.schema)


def preset_asked(query: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The options of ?preset= as a form's initial values; {} without one of that kind."""
    found = row_or_none(Preset.objects.filter(kind=kind), query.get("preset"))
    return {} if found is None else preset_options(found)


def differences(kind: PresetKind, options: Mapping[str, Any], given: Mapping[str, Any]) -> list[Difference]:
    """Where `given` settings (values by name, some may be missing) leave what `options` decide.

    Options without a meaning beside the given ones are passed over: their reason is listed instead.
    """
    known = kind.spec_class.options()
    return [
        Difference(name, known[name].label or name, value_words(options[name]), value_words(given[name]))
        for name in kind.option_names
        if name in options
        and name in given
        and not option_is_idle(known[name], given)
        and _plain(options[name]) != _plain(given[name])
    ]


def _plain(value: Any) -> Any:
    """As it would come back from JSON."""
    return json.loads(
        json.dumps(value, default=lambda record: asdict(record) if isinstance(record, Record) else str(record))
    )


def value_words(value: Any) -> str:
    """A value in a sentence: "32", "16, 32", "empty", "yes"."""
    if value is None or value == "" or value == [] or value == ():
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_words(each) for each in value)
    text = f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS]}…"


def option_rows(kind: PresetKind, options: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a preset decides, in the order of the form: label, value in words, unit and help."""
    known = kind.spec_class.options()
    return [
        {
            "name": name,
            "label": known[name].label or name,
            "value": str(options[name]) if known[name].multiline else value_words(options[name]),
            "unit": known[name].unit,
            "help": known[name].help,
        }
        for name in kind.option_names
        if name in options
    ]


def jobs_agreeing(preset: Preset) -> list[Job]:
    """The newest jobs whose settings are those that the preset decides, wherever they came from."""
    kind, options = KINDS[preset.kind], preset_options(preset)
    if not kind.spec_class.KIND or not options:
        return []
    jobs = Job.objects.filter(kind=kind.spec_class.KIND).order_by("-id")[:MOST_JOBS]
    defaults = {name: field.initial for name, field in spec_form(kind.spec_class).base_fields.items()}
    wanted = _plain(options)
    return [job for job in jobs if _agrees(kind, wanted, defaults, job.spec)]


def _agrees(kind: PresetKind, wanted: dict[str, Any], defaults: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Whether stored settings, with defaults for what they do not know, hold all that is wanted."""
    schema = stored.get("schema", 1)
    if schema > kind.spec_class.SCHEMA:
        return False
    spec = {**defaults, **kind.options_upgrade(stored, schema)}
    return all(_plain(spec[name]) == value for name, value in wanted.items())


def preset_json(preset: Preset) -> dict[str, Any]:
    """The preset as the API and `--json` show it; `spec` in today's names."""
    return {
        "id": preset.pk,
        "kind": preset.kind,
        "name": preset.name,
        "description": preset.description,
        "source": preset.source,
        "is_shipped": preset.is_shipped,
        "is_favourite": preset.is_favourite,
        "use_count": preset.use_count,
        "schema": KINDS[preset.kind].spec_class.SCHEMA,
        "spec": preset_options(preset),
        "created_at": preset.created_at.isoformat(),
        "changed_at": preset.changed_at.isoformat(),
        "url": preset.get_absolute_url(),
    }
