"""`manage.py feature_map_delete ID`: delete a map of features."""

from apps.core.row_commands import DeleteCommand
from apps.features.maps.selectors import map_get
from apps.features.maps.services import feature_map_delete


class Command(DeleteCommand):
    help = "Delete a feature map with its file."

    def delete(self, pk: int) -> int:
        return feature_map_delete(feature_map=map_get(pk))
