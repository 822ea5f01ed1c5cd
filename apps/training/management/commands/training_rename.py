"""`manage.py training_rename RUN NAME`: give a run another name."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.commands import StudioCommand
from apps.training.commands import run_argument
from apps.training.selectors import training_get, training_json_full
from apps.training.services import training_rename


class Command(StudioCommand):
    help = "Give a training run another name; its SAEs keep theirs."

    def add_arguments(self, parser: CommandParser) -> None:
        run_argument(parser)
        parser.add_argument("name")
        parser.add_argument("--json", action="store_true", help="print the run as one JSON object")

    def work(self, **options: Any) -> None:
        run = training_get(options["run"])
        training_rename(run=run, name=options["name"])
        self.stdout.write(json.dumps(training_json_full(run)) if options["json"] else f"Run {run.pk}: {run.name}.")
