"""Settings that are changed while the studio runs. One declaration each: page, API and command are made from it.

Only values that differ from their default are stored, so that a better default reaches everybody who never chose.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.db import transaction

from apps.core.errors import AppError
from apps.core.models import Setting
from apps.core.spec_forms import spec_from_json
from workers.engine.specs.base import Spec, option
from workers.engine.specs.errors import SpecInvalid

ADDRESS = r"https?://[^\s/@]+(/\S*)?"


@dataclass(frozen=True, kw_only=True)
class Preferences(Spec):
    """The studio's changeable settings."""

    TITLE: ClassVar[str] = "Settings"

    ollama_url: str = option(
        "http://localhost:11434",
        label="Ollama address",
        pattern=ADDRESS,
        help="Where Ollama listens, such as http://localhost:11434.",
    )
    endpoint_url: str = option(
        "",
        label="OpenAI-compatible endpoint",
        pattern=f"({ADDRESS})?",
        help="Base address of a server with OpenAI's interface (vLLM, llama.cpp), ending in /v1; empty: none.",
    )
    endpoint_model: str = option("", label="Model at the endpoint", help="The name by which that server knows it.")

    def check(self) -> None:
        for name in ("ollama_url", "endpoint_url"):
            try:
                _ = urlsplit(getattr(self, name)).port
            except ValueError:
                raise SpecInvalid("The port is no number up to 65535.", "Correct the address.", field=name) from None


def preferences() -> Preferences:
    """The settings as they are now: stored values over defaults."""
    known = Preferences.options()
    stored = {row.name: row.value for row in Setting.objects.all() if row.name in known}
    return Preferences.from_json(stored)


def preferences_save(new: Preferences) -> None:
    """Store every value that differs from its default and forget the others."""
    with transaction.atomic():
        for field in dataclasses.fields(new):
            value = getattr(new, field.name)
            if value == field.default:
                Setting.objects.filter(name=field.name).delete()
            else:
                Setting.objects.update_or_create(name=field.name, defaults={"value": value})


def preferences_change(changes: dict[str, Any]) -> Preferences:
    """Change some settings by name; AppError "spec_invalid" for unknown names and bad values."""
    new = spec_from_json(Preferences, preferences().to_json() | changes)
    preferences_save(new)
    return new


def preference_get(name: str) -> Any:
    """One setting by name; AppError for an unknown one."""
    if name not in Preferences.options():
        known = ", ".join(Preferences.options())
        raise AppError("setting_unknown", f"There is no setting {name}.", f"Known settings: {known}.", status=404)
    return getattr(preferences(), name)
