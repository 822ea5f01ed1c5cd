"""`manage.py preset_change ID`: give a preset another name, description or other options."""

from typing import Any

from django.core.management.base import CommandParser

from apps.presets.commands import PresetCommand, options_argument
from apps.presets.models import Preset
from apps.presets.services import preset_change


class Command(PresetCommand):
    help = "Change a preset; what is left out stays."
    done = "changed"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--name")
        parser.add_argument("--description")
        parser.add_argument("--spec", help="all options as a JSON object")

    def act(self, preset: Preset, **options: Any) -> Preset:
        decided = None if options["spec"] is None else options_argument(options["spec"])
        preset_change(preset=preset, name=options["name"], description=options["description"], options=decided)
        return preset
