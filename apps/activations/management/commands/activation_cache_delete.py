"""`manage.py activation_cache_delete ID`: delete an activation cache and its files."""

from apps.activations.selectors import activation_cache_get
from apps.activations.services import activation_cache_delete
from apps.core.row_commands import DeleteCommand


class Command(DeleteCommand):
    help = "Delete an activation cache and its files; refused while other things stand on it."

    def delete(self, pk: int) -> int:
        return activation_cache_delete(activation_cache=activation_cache_get(pk))
