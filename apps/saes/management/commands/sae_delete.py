"""`manage.py sae_delete ID`: delete an SAE with everything measured of it."""

from apps.core.row_commands import DeleteCommand
from apps.saes.selectors import sae_get
from apps.saes.services import sae_delete


class Command(DeleteCommand):
    help = "Delete an SAE with its evaluations, features, experiments and exports."

    def delete(self, pk: int) -> int:
        return sae_delete(sae=sae_get(pk))
