"""`manage.py tokenization_list`: the tokenizations, newest first."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.datasets.tokenization_selectors import tokenization_json, tokenization_list


class Command(ListCommand):
    help = "List tokenizations."
    columns = ("id", "dataset", "language_model", "context_length", "ready", "contexts", "heldout_contexts", "tokens")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(tokenization_json, tokenization_list(query=query))
