"""Bases of commands that list rows and delete one: the same words and the same --json everywhere."""

import json
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.templatetags.studio import NOTHING, bytes_words, significant


class ListCommand(StudioCommand):
    """Prints rows, one a line, or with --json as a list of objects. Subclasses set `columns` and `rows`."""

    columns: tuple[str, ...] = ()
    """Keys of the rows' JSON that the lines show."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--query", default="", help="only rows with this in their name or origin")
        parser.add_argument("--json", action="store_true", help="print a list of objects")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        """The rows as JSON objects."""
        raise NotImplementedError

    def work(self, **options: Any) -> None:
        found = list(self.rows(options["query"]))
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        lines = [self.columns, *[tuple(_words(row[column]) for column in self.columns) for row in found]]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        for line in lines:
            self.stdout.write("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name", ""))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return significant(value)
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


class DeleteCommand(StudioCommand):
    """Deletes one row by its id and says how many bytes that freed. Subclasses set `delete`."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=whole)
        parser.add_argument("--json", action="store_true", help="print one object")

    def delete(self, pk: int) -> int:
        """Call the service; bytes freed."""
        raise NotImplementedError

    def work(self, **options: Any) -> None:
        freed = self.delete(options["id"])
        if options["json"]:
            self.stdout.write(json.dumps({"deleted": options["id"], "freed_bytes": freed}))
        else:
            self.stdout.write(f"Deleted; {bytes_words(freed)} freed.")
