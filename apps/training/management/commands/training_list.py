"""`manage.py training_list`: the training runs, newest first."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.training.selectors import training_json, training_list


class Command(ListCommand):
    help = "List training runs."
    columns = ("id", "name", "state", "step", "steps", "l0", "fvu", "dead_share")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(training_json, training_list(query=query))
