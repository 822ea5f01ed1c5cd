"""`manage.py collection_list`: the collections of features."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.features.collections.selectors import collection_json, collection_list


class Command(ListCommand):
    help = "List collections of features; feature_list --collection ID lists what lies in one."
    columns = ("id", "name", "features", "note")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(collection_json, collection_list(query))
