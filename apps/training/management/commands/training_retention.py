"""`manage.py training_retention RUN --keep N [--recent] [--delete]`: which checkpoints would go, and their deletion."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.templatetags.studio import bytes_words
from apps.training.commands import run_argument
from apps.training.selectors import checkpoint_json, checkpoints_beyond, training_get
from apps.training.services import checkpoints_delete


class Command(StudioCommand):
    help = (
        "Say which checkpoints of a run would go if only the newest stayed; with --delete they go. A run that has not "
        "finished keeps its newest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        run_argument(parser)
        parser.add_argument("--keep", type=whole, default=1, help="how many of the newest stay")
        parser.add_argument("--recent", action="store_true", help="those of the last 24 hours may go too")
        parser.add_argument("--delete", action="store_true", help="delete them; without, nothing is deleted")
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        run = training_get(options["run"])
        rows = checkpoints_beyond(run, keep=options["keep"], and_recent=options["recent"])
        found = {"items": [checkpoint_json(row) for row in rows], "bytes": sum(row.bytes for row in rows)}
        if options["delete"]:
            found["freed_bytes"] = checkpoints_delete(checkpoints=rows)
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        for item in found["items"]:
            self.stdout.write(f"{item['id']}  step {item['step']:,}  {bytes_words(item['bytes'])}")
        verb = "were deleted" if options["delete"] else "would go"
        self.stdout.write(f"{len(rows)} checkpoints, {bytes_words(found['bytes'])}, {verb}.")
