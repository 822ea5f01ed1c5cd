"""`manage.py preset_list`: the presets, favourites first."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.presets.selectors import preset_json, preset_list


class Command(ListCommand):
    help = "List presets (templates of forms)."
    columns = ("id", "kind", "name", "is_favourite", "is_shipped", "use_count")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(preset_json, preset_list(query=query))
