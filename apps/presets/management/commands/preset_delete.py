"""`manage.py preset_delete ID`: delete a preset."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.presets.selectors import preset_get
from apps.presets.services import preset_delete


class Command(StudioCommand):
    help = "Delete a preset; runs that were started from it stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=whole)
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        preset_delete(preset=preset_get(options["id"]))
        self.stdout.write(json.dumps({"deleted": options["id"]}) if options["json"] else "Deleted.")
