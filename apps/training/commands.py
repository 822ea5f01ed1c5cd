"""The base of commands that ask something of a training run by its id: training_stop, training_pause, …"""

import json
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.jobs.models import Job
from apps.jobs.selectors import job_json
from apps.training.selectors import training_get, training_job


def run_argument(parser: CommandParser) -> None:
    """Add `run`, the id that every command about one run takes first."""
    parser.add_argument("run", type=whole, help="id of the training run")


class TrainingWishCommand(StudioCommand):
    """Subclasses say what to `ask` of the run's job, and `asked`: the word for it."""

    asked: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        run_argument(parser)
        parser.add_argument("--json", action="store_true", help="print the job as one JSON object")

    def ask(self, job: Job) -> None:
        """Call the service."""
        raise NotImplementedError

    def work(self, **options: Any) -> None:
        job = training_job(training_get(options["run"]))
        self.ask(job)
        job.refresh_from_db()
        self.stdout.write(json.dumps(job_json(job)) if options["json"] else f"Run {options['run']}: {self.asked}.")
