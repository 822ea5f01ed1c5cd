"""`manage.py training_compare RUN RUN …`: results side by side, the settings that differ, and both in words."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.training.comparison import RESULTS, comparison_json, value_words
from apps.training.comparison_charts import MOST_RUNS
from apps.training.selectors import trainings_of


class Command(StudioCommand):
    help = "Compare training runs: results, the settings that differ, and both in words."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=whole, nargs="+", help="ids of the training runs")
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        found = comparison_json(trainings_of(options["run"], most=MOST_RUNS))
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        results = {name: [run[name] for run in found["runs"]] for name in ("name", "state")}
        results |= {name: [_span(run["members"], name) for run in found["runs"]] for _, name in RESULTS}
        for name, values in (results | found["differences"]).items():
            self.stdout.write("  ".join([f"{name:24}", *[value_words(value) for value in values]]))
        self.stdout.write("\n".join(found["words"]))


def _span(members: list[dict[str, Any]], name: str) -> Any:
    """The value of a run's only SAE; of several from the least to the greatest."""
    known = sorted({member[name] for member in members if member[name] is not None})
    return f"{value_words(known[0])} to {value_words(known[-1])}" if len(known) > 1 else known[0] if known else None
