"""`manage.py export_list`: the archives, newest first."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.exports.selectors import export_json, export_list


class Command(ListCommand):
    help = "List exports."
    columns = ("id", "file_name", "state", "bytes", "sha256")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(export_json, export_list(query=query))
