"""`manage.py preset_clone ID`: a copy that can be changed."""

from typing import Any

from django.core.management.base import CommandParser

from apps.presets.commands import PresetCommand
from apps.presets.models import Preset
from apps.presets.services import preset_clone


class Command(PresetCommand):
    help = "Copy a preset, shipped ones too; the copy can be changed."
    done = "made"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--name", default="", help="empty: the next free one")

    def act(self, preset: Preset, **options: Any) -> Preset:
        return preset_clone(preset=preset, name=options["name"])
