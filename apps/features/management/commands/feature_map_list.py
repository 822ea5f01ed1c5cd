"""`manage.py feature_map_list`: the maps of features, newest first."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.core.search import found_by
from apps.features.maps.selectors import map_json
from apps.features.models import FeatureMap


class Command(ListCommand):
    help = "List feature maps; --query looks into the names of SAEs."
    columns = ("id", "sae", "method", "bytes", "ready")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        return map(map_json, found_by(FeatureMap.objects.select_related("sae"), query, "sae__name"))
