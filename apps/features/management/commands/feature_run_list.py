"""`manage.py feature_run_list`: feature runs, newest first, with what their features are together."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.core.search import found_by
from apps.features.selectors import feature_run_json, feature_run_list


class Command(ListCommand):
    help = "List feature runs; --query looks into the names of SAEs."
    columns = ("id", "sae", "tokenization", "tokens", "alive", "readable", "bytes", "ready")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        for run in map(feature_run_json, found_by(feature_run_list(), query, "sae__name")):
            yield {**run, "readable": run["summary"].get("readable")}
