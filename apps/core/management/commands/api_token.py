"""`manage.py api_token create | list | revoke`: bearer tokens of the owner for scripts."""

from json import dumps
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.selectors import api_tokens
from apps.core.services import api_token_create, api_token_revoke, owner_ensure


class Command(StudioCommand):
    help = "Create, list or revoke the owner's API tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a token and print it, this once")
        create.add_argument("name", help="what it is for")
        create.add_argument("--json", action="store_true", help="print one JSON object")
        actions.add_parser("list", help="all tokens by name and last four characters")
        revoke = actions.add_parser("revoke", help="delete a token")
        revoke.add_argument("id", type=whole, help="number from the list")

    def work(self, *, action: str, **options: Any) -> None:
        {"create": self._create, "list": self._list, "revoke": self._revoke}[action](**options)

    def _create(self, *, name: str, json: bool, **options: Any) -> None:
        token, row = api_token_create(user=owner_ensure(), name=name)
        self.stdout.write(dumps({"id": row.pk, "name": row.name, "token": token}) if json else token)

    def _list(self, **options: Any) -> None:
        for row in api_tokens(owner_ensure()):
            used = f"used {row.used_at:%Y-%m-%d %H:%M} UTC" if row.used_at else "never used"
            self.stdout.write(f"{row.pk}  {row}  {used}")

    def _revoke(self, *, id: int, **options: Any) -> None:
        api_token_revoke(user=owner_ensure(), pk=id)
        self.stdout.write("The token is revoked.")
