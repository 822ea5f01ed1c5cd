"""`manage.py dataset_delete ID`: delete a dataset and its files."""

from apps.core.row_commands import DeleteCommand
from apps.datasets.selectors import dataset_get
from apps.datasets.services import dataset_delete


class Command(DeleteCommand):
    help = "Delete a dataset and its files; refused while other things stand on it."

    def delete(self, pk: int) -> int:
        return dataset_delete(dataset=dataset_get(pk))
