"""`manage.py feature_run_delete ID`: delete a feature run with its examples; words on features stay."""

from apps.core.row_commands import DeleteCommand
from apps.features.selectors import feature_run_get
from apps.features.services import feature_run_delete


class Command(DeleteCommand):
    help = "Delete a feature run with its examples, language analyses and ablations; statistics, labels and notes stay."

    def delete(self, pk: int) -> int:
        return feature_run_delete(run=feature_run_get(pk))
