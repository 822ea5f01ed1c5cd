"""`manage.py language_model_list`: the language models, newest first."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.language_models.selectors import language_model_json, language_model_list


class Command(ListCommand):
    help = "List language models."
    columns = ("id", "name", "ready", "model_type", "layers", "d_model", "parameters", "bytes", "origin")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(language_model_json, language_model_list(query=query))
