"""`manage.py setting list | get | set | remove | test`: settings and secrets. Secrets go in, and never come out."""

import getpass
import sys
from json import dumps
from typing import Any

from django.core.management.base import CommandParser

from apps.core.commands import StudioCommand
from apps.core.connections import CONNECTIONS, connection_test
from apps.core.errors import AppError
from apps.core.preferences import Preferences, preference_get, preferences_change
from apps.core.secrets import SECRETS, secret_remove, secret_set, secret_states
from apps.core.selectors import settings_json

SECRET_NAMES = tuple(kind.name for kind in SECRETS)
NAMES = (*Preferences.options(), *SECRET_NAMES)


class Command(StudioCommand):
    help = "List, get, set, remove or test settings and secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="all settings, and which secrets are stored")
        listing.add_argument("--json", action="store_true", help="print one JSON object")
        get = actions.add_parser("get", help="one setting's value, or whether a secret is stored")
        get.add_argument("name", choices=NAMES)
        change = actions.add_parser("set", help="change a setting; a secret is asked for, or read from a pipe")
        change.add_argument("name", choices=NAMES)
        change.add_argument("value", nargs="?", help="not for secrets: the shell would remember it")
        remove = actions.add_parser("remove", help="back to the default, or forget a secret")
        remove.add_argument("name", choices=NAMES)
        test = actions.add_parser("test", help="call the service once")
        test.add_argument("name", choices=tuple(CONNECTIONS))

    def work(self, *, action: str, **options: Any) -> None:
        {
            "list": self._list,
            "get": self._get,
            "set": self._set,
            "remove": self._remove,
            "test": self._test,
        }[action](**options)

    def _list(self, *, json: bool, **options: Any) -> None:
        found = settings_json()
        if json:
            self.stdout.write(dumps(found))
            return
        for name, value in found["settings"].items():
            self.stdout.write(f"{name} = {value}")
        for name in SECRET_NAMES:
            self.stdout.write(f"{name}: {_secret_words(name)}")

    def _get(self, *, name: str, **options: Any) -> None:
        self.stdout.write(_secret_words(name) if name in SECRET_NAMES else str(preference_get(name)))

    def _set(self, *, name: str, value: str | None, **options: Any) -> None:
        if name in SECRET_NAMES:
            if value is not None:
                raise AppError("secret_on_command_line", "A secret is no argument.", "Leave it out: it is asked for.")
            secret_set(name=name, value=getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline())
        elif value is None:
            raise AppError("value_missing", f"{name} needs a value.", f"manage.py setting set {name} VALUE")
        else:
            preferences_change({name: value})
        self.stdout.write(f"{name} is saved.")

    def _remove(self, *, name: str, **options: Any) -> None:
        if name in SECRET_NAMES:
            secret_remove(name=name)
            self.stdout.write(f"{name} is forgotten.")
        else:
            preferences_change({name: getattr(Preferences(), name)})
            self.stdout.write(f"{name} is back at its default.")

    def _test(self, *, name: str, **options: Any) -> None:
        self.stdout.write(connection_test(name))


def _secret_words(name: str) -> str:
    state = next(state for state in secret_states() if state.kind.name == name)
    if state.is_unreadable:
        return "stored, but unreadable with this data folder's keys"
    if not state.is_set:
        return "not stored"
    return f"stored, ends in {state.last_four}" if state.last_four else "stored"
