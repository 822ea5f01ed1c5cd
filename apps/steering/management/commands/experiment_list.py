"""`manage.py experiment_list [--json]`: steering experiments, saved ones first."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.steering.selectors import experiment_json, experiment_list


class Command(StudioCommand):
    help = "List steering experiments, saved ones first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=whole, default=50, help="at most so many (default 50)")
        parser.add_argument("--json", action="store_true", help="print one JSON list, with the texts")

    def work(self, limit: int, **options: Any) -> None:
        found = experiment_list()[: max(0, limit)]
        if options["json"]:
            self.stdout.write(json.dumps([experiment_json(experiment) for experiment in found]))
            return
        for experiment in found:
            words = ", ".join(f"{f['index']}:{f['strength']:g}" for f in experiment.spec["features"])
            state = "ready" if experiment.is_ready else "not ready"
            self.stdout.write(f"{experiment.pk:>6}  {state:<9}  {words:<24}  {experiment}  {experiment.prompt[:40]!r}")
