"""Everything that changes presets: create, change, favourite, clone, import, delete, count a use."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import F

from apps.core.errors import AppError
from apps.jobs.models import Job
from apps.presets.documents import documents_read
from apps.presets.kinds import kind_get, kind_of_job
from apps.presets.models import Preset
from apps.presets.selectors import preset_options

LONGEST_NAME = 120
LONGEST_DESCRIPTION = 5_000
ON_CLASH = ("rename", "refuse")


def preset_create(*, kind: str, name: str, options: dict[str, Any], description: str = "") -> Preset:
    """Save options under a name. AppError: kind unknown, options that cannot be used, name empty, too long or taken."""
    options = kind_get(kind).options_read(options)
    name = _name(name)
    _require_free(kind, name)
    return Preset.objects.create(
        kind=kind,
        name=name,
        description=_description(description),
        spec=options,
        schema=kind_get(kind).spec_class.SCHEMA,
    )


def preset_change(
    *, preset: Preset, name: str | None = None, description: str | None = None, options: dict[str, Any] | None = None
) -> None:
    """Change what is given. AppError "preset_shipped" for one that comes with the studio, and as for `preset_create`."""
    _require_own(preset, "changed")
    if name is not None and _name(name) != preset.name:
        _require_free(preset.kind, _name(name))
        preset.name = _name(name)
    if description is not None:
        preset.description = _description(description)
    if options is not None:
        preset.spec = kind_get(preset.kind).options_read(options)
        preset.schema = kind_get(preset.kind).spec_class.SCHEMA
    preset.save()


def preset_favourite_set(*, preset: Preset, is_favourite: bool) -> None:
    """Put it among the favourites, or take it out; shipped ones too."""
    Preset.objects.filter(pk=preset.pk).update(is_favourite=is_favourite)
    preset.is_favourite = is_favourite


def preset_clone(*, preset: Preset, name: str = "") -> Preset:
    """A copy that can be changed; without a name it gets the next free one."""
    name = _name(name) if name else name_free(preset.kind, preset.name)
    _require_free(preset.kind, name)
    return Preset.objects.create(
        kind=preset.kind,
        name=name,
        description=preset.description,
        source=preset.source,
        spec=preset_options(preset),
        schema=kind_get(preset.kind).spec_class.SCHEMA,
    )


def preset_delete(*, preset: Preset) -> None:
    """Delete it; runs that were started from it stay. AppError "preset_shipped"."""
    _require_own(preset, "deleted")
    preset.delete()


def preset_use(*, preset: Preset) -> None:
    """Count that it was loaded into a form."""
    Preset.objects.filter(pk=preset.pk).update(use_count=F("use_count") + 1)


def presets_import(*, content: Any, on_clash: str = "rename", kind: str = "") -> list[Preset]:
    """Save all exported presets of a file, or none. A name that is taken is numbered, or refused with "name_taken"."""
    if on_clash not in ON_CLASH:
        raise AppError("bad_clash", f"on_clash is {on_clash!r}.", f"Known: {', '.join(ON_CLASH)}.", field="on_clash")
    drafts = documents_read(content, kind=kind)
    choose: Callable[[str, str], str] = name_free if on_clash == "rename" else lambda kind, name: name
    with transaction.atomic():
        return [
            preset_create(
                kind=draft.kind.name,
                name=choose(draft.kind.name, draft.name),
                options=draft.options,
                description=draft.description,
            )
            for draft in drafts
        ]


def options_of_job(job: Job) -> tuple[str, dict[str, Any]]:
    """(kind, options) of a preset made from what a job was asked for. AppError "no_preset_kind"."""
    kind = kind_of_job(job.kind)
    stored = kind.options_upgrade(job.spec, job.spec.get("schema", 1))
    return kind.name, kind.options_read({name: stored[name] for name in kind.option_names if name in stored})


def name_free(kind: str, wanted: str) -> str:
    """`wanted`, or with the next number behind it when it is taken: "wide", "wide 2"."""
    wanted = _name(wanted[:LONGEST_NAME])
    taken = set(Preset.objects.filter(kind=kind).values_list("name", flat=True))
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted[: LONGEST_NAME - 5]} {number}", number + 1
    return name


def _name(text: str) -> str:
    name = " ".join(text.replace("\0", "").split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise AppError(
            "name_invalid", f"A name has 1 to {LONGEST_NAME} characters.", "Give another name.", field="name"
        )
    return name


def _description(text: str) -> str:
    if len(text) > LONGEST_DESCRIPTION:
        raise AppError(
            "description_too_long",
            f"The description has {len(text):,} characters.",
            f"Stay within {LONGEST_DESCRIPTION:,}.",
            field="description",
        )
    return text.replace("\0", "").strip()


def _require_free(kind: str, name: str) -> None:
    if Preset.objects.filter(kind=kind, name=name).exists():
        raise AppError(
            "name_taken",
            f"There is a template called “{name}” already.",
            "Choose another name, or change that one.",
            status=409,
            field="name",
        )


def _require_own(preset: Preset, done: str) -> None:
    if preset.is_shipped:
        raise AppError(
            "preset_shipped",
            f"“{preset.name}” comes with the studio and cannot be {done}.",
            "Clone it: the copy is yours.",
            status=409,
        )
