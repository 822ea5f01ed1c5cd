"""`manage.py training_retry RUN [--set OPTION=VALUE …]`: another try, as it was or with some settings changed."""

from typing import Any

from django.core.management.base import CommandParser

from apps.core.errors import AppError
from apps.jobs.commands import JobCommand
from apps.jobs.models import Job
from apps.training.commands import run_argument
from apps.training.selectors import training_get
from apps.training.services import training_again, training_retry


class Command(JobCommand):
    help = (
        "Try a failed or cancelled training run again; a failed one goes on from its last checkpoint. With --set, start a "
        "new run with the settings of any run and those changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        run_argument(parser)
        parser.add_argument(
            "--set", action="append", default=[], metavar="OPTION=VALUE", help="k=16, say; once for each changed option"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        job = self._start(options["run"], options["set"])
        self.follow(job, wait=options["wait"], as_json=options["json"])

    def _start(self, pk: int, settings: list[str]) -> Job:
        run = training_get(pk)
        if not settings:
            return training_retry(run=run)
        changes = {}
        for setting in settings:
            name, equals, value = setting.partition("=")
            if not equals:
                raise AppError("bad_setting", f"{setting} is no OPTION=VALUE.", "Write --set k=16.", field="set")
            changes[name.strip().replace("-", "_")] = {"true": True, "false": False}.get(value.lower(), value)
        return training_again(run=run, changes=changes).job
