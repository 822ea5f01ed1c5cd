"""`manage.py preset_favourite ID`: put a preset among the favourites, with --off take it out."""

from typing import Any

from django.core.management.base import CommandParser

from apps.presets.commands import PresetCommand
from apps.presets.models import Preset
from apps.presets.services import preset_favourite_set


class Command(PresetCommand):
    help = "Put a preset among the favourites."
    done = "marked"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--off", action="store_true", help="take it out")

    def act(self, preset: Preset, **options: Any) -> Preset:
        preset_favourite_set(preset=preset, is_favourite=not options["off"])
        return preset
