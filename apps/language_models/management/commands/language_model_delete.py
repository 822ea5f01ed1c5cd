"""`manage.py language_model_delete ID`: delete a language model and its files."""

from apps.core.row_commands import DeleteCommand
from apps.language_models.selectors import language_model_get
from apps.language_models.services import language_model_delete


class Command(DeleteCommand):
    help = "Delete a language model and its files; refused while other things stand on it."

    def delete(self, pk: int) -> int:
        return language_model_delete(language_model=language_model_get(pk))
