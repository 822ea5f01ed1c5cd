"""`manage.py password_set`: give the owner a password. It is typed twice, or comes on standard input."""

import getpass
import sys
from typing import Any

from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from apps.core.services import owner_ensure, password_set


class Command(StudioCommand):
    help = "Give the owner a password; it is asked for, or read from standard input when that is a pipe."

    def work(self, **options: Any) -> None:
        password_set(user=owner_ensure(), password=_asked() if sys.stdin.isatty() else sys.stdin.readline().strip("\n"))
        self.stdout.write("The owner's password is set.")


def _asked() -> str:
    first, second = getpass.getpass("New password: "), getpass.getpass("Once more: ")
    if first != second:
        raise AppError("password_differs", "The two passwords differ.", "Try again.")
    return first
