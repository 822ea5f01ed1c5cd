"""`manage.py activation_cache_list`: the activation caches, newest first."""

from collections.abc import Iterable
from typing import Any

from apps.activations.selectors import activation_cache_json, activation_cache_list
from apps.core.row_commands import ListCommand


class Command(ListCommand):
    help = "List activation caches."
    columns = ("id", "language_model", "hook_site", "ready", "tokens", "d_in", "bytes")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(activation_cache_json, activation_cache_list(query=query))
