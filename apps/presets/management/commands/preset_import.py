"""`manage.py preset_import FILE`: presets from a JSON file."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from apps.core.asking import json_read
from apps.core.commands import StudioCommand
from apps.core.sources import local_path
from apps.presets.selectors import preset_json
from apps.presets.services import ON_CLASH, presets_import


class Command(StudioCommand):
    help = "Save the presets of an exported file, all or none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--on-clash", choices=ON_CLASH, default="rename", help="when a name is taken")
        parser.add_argument("--json", action="store_true", help="print a list of objects")

    def work(self, **options: Any) -> None:
        path: Path = local_path(options["file"], suffixes=(".json",))
        made = presets_import(content=json_read(path.read_bytes()), on_clash=options["on_clash"])
        if options["json"]:
            self.stdout.write(json.dumps([preset_json(preset) for preset in made]))
        else:
            for preset in made:
                self.stdout.write(f"Preset {preset.pk}: {preset.name}.")
