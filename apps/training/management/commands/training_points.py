"""`manage.py training_points RUN`: all points of the run's charts as CSV."""

from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.csv_tables import add_spreadsheet_argument
from apps.training.commands import run_argument
from apps.training.points_export import points_exported
from apps.training.selectors import member_get, training_get


class Command(StudioCommand):
    help = "Print all points of a training run's charts as CSV, a row for each SAE and step."

    def add_arguments(self, parser: CommandParser) -> None:
        run_argument(parser)
        parser.add_argument("--member", type=whole, help="index of one SAE of a sweep; all without it")
        add_spreadsheet_argument(parser)

    def work(self, **options: Any) -> None:
        run = training_get(options["run"])
        if options["member"] is not None:
            member_get(run, options["member"])
        for piece in points_exported(run, options["member"], for_spreadsheet=options["spreadsheet"]):
            self.stdout.write(piece, ending="")
