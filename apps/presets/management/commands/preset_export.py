"""`manage.py preset_export ID…`: presets as JSON, on standard output or in a file."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from apps.presets.documents import preset_document
from apps.presets.selectors import preset_get, preset_list


class Command(StudioCommand):
    help = "Write presets as JSON that preset_import takes; without ids all of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", type=whole, nargs="*")
        parser.add_argument("--output", type=Path, help="a file to write; standard output when left out")

    def work(self, **options: Any) -> None:
        found = [preset_get(pk) for pk in options["ids"]] or list(preset_list())
        documents = [preset_document(preset) for preset in found]
        text = json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, ensure_ascii=False)
        if options["output"] is None:
            self.stdout.write(text)
            return
        try:
            options["output"].write_text(text + "\n")
        except OSError as error:
            words = f"{options['output']} cannot be written: {error.strerror}."
            raise AppError("path_unwritable", words, "Choose another place.") from None
        self.stdout.write(f"{len(documents)} written to {options['output']}.")
