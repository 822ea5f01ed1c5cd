"""The base of the studio's own commands: expected errors end them with message and hint."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.errors import AppError
from workers.engine.specs.errors import EngineError


class StudioCommand(BaseCommand):
    """Subclasses write `work`; what it raises as AppError or EngineError is printed and ends the command with exit code 1."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.work(**options)
        except (AppError, EngineError) as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from None

    def work(self, **options: Any) -> None:
        """What the command does."""
        raise NotImplementedError
