"""`manage.py training_show RUN`: one run with its job, SAEs and checkpoints, as JSON."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.commands import StudioCommand
from apps.training.commands import run_argument
from apps.training.selectors import training_get, training_json_full


class Command(StudioCommand):
    help = "Show a training run with its job, SAEs and checkpoints as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        run_argument(parser)
        parser.add_argument("--json", action="store_true", help="in one line")

    def work(self, **options: Any) -> None:
        found = training_json_full(training_get(options["run"]))
        self.stdout.write(json.dumps(found, indent=None if options["json"] else 2))
