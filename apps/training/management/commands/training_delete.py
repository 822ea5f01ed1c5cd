"""`manage.py training_delete ID`: delete a training run with its charts and checkpoints."""

from apps.core.row_commands import DeleteCommand
from apps.training.selectors import training_get
from apps.training.services import training_delete


class Command(DeleteCommand):
    help = "Delete a training run with its charts and checkpoints; refused while SAEs of it exist."

    def delete(self, pk: int) -> int:
        return training_delete(run=training_get(pk))
