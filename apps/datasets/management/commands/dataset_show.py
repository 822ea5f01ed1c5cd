"""`manage.py dataset_show ID`: rows of a dataset, in order or those that hold some words."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.datasets.row_search import rows_search
from apps.datasets.rows import cell_json, rows_between
from apps.datasets.selectors import dataset_json, dataset_ready


class Command(StudioCommand):
    help = "Show a dataset and some of its rows."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", type=whole)
        parser.add_argument("--from", dest="start", type=whole, default=0, help="first row, from 0")
        parser.add_argument("--rows", type=whole, default=10, help="how many rows, 100 at most")
        parser.add_argument("--query", default="", help="only rows whose text holds this")
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        dataset = dataset_ready(options["dataset"])
        start, count = max(0, options["start"]), min(max(0, options["rows"]), 100)
        if options["query"]:
            shown = rows_search(dataset, options["query"], start=start).page
        else:
            shown = rows_between(dataset, start, min(start + count, dataset.rows))
        rows = shown.rows[:count]
        if options["json"]:
            items = [
                {"row": row.index, "cells": {name: cell_json(cell) for name, cell in zip(shown.columns, row.cells)}}
                for row in rows
            ]
            self.stdout.write(json.dumps({**dataset_json(dataset), "items": items}))
            return
        self.stdout.write(f"{dataset}: {dataset.rows:,} rows, {dataset.licence or 'no licence stated'}")
        for row in rows:
            self.stdout.write(f"--- row {row.index}")
            for name, cell in zip(shown.columns, row.cells):
                self.stdout.write(f"{name}: {cell.text}{' …' if cell.is_clipped else ''}")
