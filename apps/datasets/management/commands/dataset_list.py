"""`manage.py dataset_list`: the datasets, newest first."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.datasets.selectors import dataset_json, dataset_list


class Command(ListCommand):
    help = "List datasets."
    columns = ("id", "name", "ready", "rows", "bytes", "text_column", "origin")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(dataset_json, dataset_list(query=query))
