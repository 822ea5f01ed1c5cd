"""`manage.py training_list`: the training runs, newest first."""

from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from apps.core.row_commands import ListCommand
from apps.jobs.states import State
from apps.training.selectors import training_json, training_list
from apps.training.words import ARCHITECTURE_NAMES


class Command(ListCommand):
    help = "List training runs."
    columns = ("id", "name", "state", "step", "steps", "l0", "fvu", "dead_share")

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--architecture", default="", choices=list(ARCHITECTURE_NAMES), help="only of this one")
        parser.add_argument("--state", default="", choices=State.values, help="only runs whose newest job has it")

    def work(self, **options: Any) -> None:
        self.chosen = {name: options[name] for name in ("architecture", "state")}
        super().work(**options)

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(training_json, training_list(query=query, **self.chosen))
