"""What the commands of presets share."""

import json
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.asking import json_read
from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from apps.presets.models import Preset
from apps.presets.selectors import preset_get, preset_json


def options_argument(text: str) -> Any:
    """The JSON of --spec. AppError "bad_json"."""
    try:
        return json_read(text)
    except AppError as error:
        raise AppError(error.code, f"--spec: {error.message}", error.hint) from None


class PresetCommand(StudioCommand):
    """The base of commands that do something with one preset: subclasses write `act` and `done`, the word for it."""

    done: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=whole)
        parser.add_argument("--json", action="store_true", help="print the preset as one object")

    def act(self, preset: Preset, **options: Any) -> Preset:
        """Call the service; the preset to show."""
        raise NotImplementedError

    def work(self, **options: Any) -> None:
        shown = self.act(preset_get(options["id"]), **options)
        self.stdout.write(json.dumps(preset_json(shown)) if options["json"] else f"Preset {shown.pk}: {self.done}.")
