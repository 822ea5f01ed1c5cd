"""`manage.py feature_run_delete ID`: delete a feature run; its features show the run before again."""

from apps.core.row_commands import DeleteCommand
from apps.features.selectors import feature_run_get
from apps.features.services import feature_run_delete


class Command(DeleteCommand):
    help = "Delete a feature run with all that lies with it; its features show the run before again, their words stay."

    def delete(self, pk: int) -> int:
        return feature_run_delete(run=feature_run_get(pk))
