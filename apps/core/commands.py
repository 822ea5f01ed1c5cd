"""The base of the studio's own commands: expected errors end them with message and hint."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, DataError, IntegrityError

from apps.core.asking import json_require
from apps.core.errors import AppError
from apps.core.schema import schema_make
from workers.engine.specs.errors import EngineError


def database_words(error: Exception) -> str:
    """What a command says of a database that does not do what it asks."""
    hint = "Start the studio once, which brings it up to date: manage.py studio. Or look at DATA_DIR and DATABASE_URL."
    return f"The database cannot be used: {str(error).strip()}. {hint}"


class StudioCommand(BaseCommand):
    """Expected errors are printed and end the command with exit code 1; a new data folder gets its tables first.

    Subclasses write `work`, or their own `handle`.
    """

    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            schema_make()
            json_require([value for value in options.values() if isinstance(value, str | list)])
            return super().execute(*args, **options)
        except (AppError, EngineError) as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from None
        except (IntegrityError, DataError):
            raise
        except DatabaseError as error:
            raise CommandError(database_words(error)) from None

    def handle(self, *args: Any, **options: Any) -> None:
        self.work(**options)

    def work(self, **options: Any) -> None:
        """What the command does."""
        raise NotImplementedError
