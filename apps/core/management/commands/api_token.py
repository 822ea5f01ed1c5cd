"""`manage.py api_token create | list | revoke`: bearer tokens of the owner for scripts."""

from json import dumps
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from apps.core.api_tokens import NewApiToken, api_token_create, api_token_json, api_token_revoke
from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.selectors import api_tokens
from apps.core.services import owner_ensure
from apps.core.spec_arguments import spec_from_arguments


class Command(StudioCommand):
    help = "Create, list or revoke the owner's API tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a token and print it, this once")
        create.add_argument("name", help="what it is for")
        options = NewApiToken.options()
        create.add_argument("--days", help=options["days"].help)
        create.add_argument("--read-only", action="store_true", help=options["read_only"].help)
        create.add_argument("--json", action="store_true", help="print one JSON object")
        listing = actions.add_parser("list", help="all tokens by name and last four characters")
        listing.add_argument("--json", action="store_true", help="print a list of objects")
        revoke = actions.add_parser("revoke", help="delete a token")
        revoke.add_argument("id", type=whole, help="number from the list")

    def work(self, *, action: str, **options: Any) -> None:
        {"create": self._create, "list": self._list, "revoke": self._revoke}[action](**options)

    def _create(self, *, json: bool, **options: Any) -> None:
        spec = spec_from_arguments(NewApiToken, options)
        token, row = api_token_create(user=owner_ensure(), name=spec.name, days=spec.days, read_only=spec.read_only)
        self.stdout.write(_dumps({**api_token_json(row), "token": token}) if json else token)

    def _list(self, *, json: bool, **options: Any) -> None:
        rows = api_tokens(owner_ensure())
        if json:
            self.stdout.write(_dumps([api_token_json(row) for row in rows]))
            return
        for row in rows:
            used = f"used {row.used_at:%Y-%m-%d %H:%M} UTC" if row.used_at else "never used"
            self.stdout.write("  ".join([str(row.pk), str(row), row.scope_words, row.end_words, used]))

    def _revoke(self, *, id: int, **options: Any) -> None:
        api_token_revoke(user=owner_ensure(), pk=id)
        self.stdout.write("The token is revoked.")


def _dumps(content: Any) -> str:
    return dumps(content, cls=DjangoJSONEncoder)
