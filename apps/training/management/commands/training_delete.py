"""`manage.py training_delete ID …`: delete training runs with their charts and checkpoints."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.templatetags.studio import bytes_words
from apps.training.services import trainings_delete


class Command(StudioCommand):
    help = "Delete training runs with their charts and checkpoints; those that still work, or whose SAEs exist, stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=whole, nargs="+")
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        freed, kept = trainings_delete(ids=options["id"])
        if options["json"]:
            reasons = [{"id": pk, "message": error.message} for pk, error in kept.items()]
            self.stdout.write(json.dumps({"freed_bytes": freed, "kept": reasons}))
        elif gone := len(options["id"]) - len(kept):
            self.stdout.write(f"{gone} deleted; {bytes_words(freed)} freed.")
        if kept:
            raise CommandError(" ".join(f"{pk} stays: {error.message} {error.hint}" for pk, error in kept.items()))
