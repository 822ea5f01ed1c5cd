"""`manage.py dataset_row_mark DATASET ROW`: leave a row out of new tokenizations, tag it, or replace its text."""

import argparse
import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.datasets.selectors import dataset_get, mark_json
from apps.datasets.services import row_mark


class Command(StudioCommand):
    help = "Mark one row of a dataset. What is left out stays as it is; an empty text takes a part of the mark away."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", type=whole)
        parser.add_argument("row", type=whole, help="position in the dataset, from 0")
        parser.add_argument(
            "--exclude",
            dest="excluded",
            action=argparse.BooleanOptionalAction,
            help="leave the row out of new tokenizations, or take it in again",
        )
        parser.add_argument("--tags", help="words separated by commas")
        parser.add_argument("--text", help="used in place of the row's text")
        parser.add_argument("--note", help="a remark")
        parser.add_argument("--json", action="store_true", help="print the mark as one object")

    def work(self, **options: Any) -> None:
        marks = {name: options[name] for name in ("excluded", "tags", "text", "note")}
        mark = row_mark(dataset=dataset_get(options["dataset"]), row=options["row"], **marks)
        if options["json"]:
            self.stdout.write(json.dumps(mark_json(mark, options["row"])))
        else:
            self.stdout.write(f"Row {options['row']} is {'marked' if mark else 'unmarked'}.")
