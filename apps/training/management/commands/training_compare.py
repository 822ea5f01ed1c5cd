"""`manage.py training_compare RUN RUN …`: results side by side, the settings that differ, and both in words."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.commands import StudioCommand
from apps.training.charts import MOST_RUNS
from apps.training.comparison import comparison_json, value_words
from apps.training.selectors import trainings_of


class Command(StudioCommand):
    help = "Compare training runs: results, the settings that differ, and both in words."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int, nargs="+", help="ids of the training runs")
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        found = comparison_json(trainings_of(options["run"], most=MOST_RUNS))
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        results = {name: [run[name] for run in found["runs"]] for name in ("name", "state", "fvu", "l0", "dead_share")}
        for name, values in (results | found["differences"]).items():
            self.stdout.write("  ".join([f"{name:24}", *[value_words(value) for value in values]]))
        self.stdout.write("\n".join(found["words"]))
