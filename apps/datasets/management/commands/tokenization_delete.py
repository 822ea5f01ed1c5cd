"""`manage.py tokenization_delete ID`: delete a tokenization and its files."""

from apps.core.row_commands import DeleteCommand
from apps.datasets.tokenization_selectors import tokenization_get
from apps.datasets.tokenization_services import tokenization_delete


class Command(DeleteCommand):
    help = "Delete a tokenization and its files; refused while other things stand on it."

    def delete(self, pk: int) -> int:
        return tokenization_delete(tokenization=tokenization_get(pk))
