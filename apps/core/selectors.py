"""What pages, endpoints and commands read of the studio as a whole."""

from typing import Any, TypeVar

from django.contrib.auth.models import AbstractUser
from django.db import DatabaseError, connection
from django.db.models import Manager, Model, QuerySet

from apps.core.errors import NotFound
from apps.core.models import ApiToken
from apps.core.preferences import Preferences, preferences
from apps.core.secrets import secret_states
from apps.core.troubles import disk_trouble
from mistudio_site import __version__

Row = TypeVar("Row", bound=Model)


def row_of(rows: QuerySet[Row] | Manager[Row], what: str, pk: object) -> Row:
    """The one of `rows` with this id; NotFound, which calls it `what`, otherwise."""
    row = rows.filter(pk=pk).first()
    if row is None:
        raise NotFound(what, pk)
    return row


def api_tokens(user: AbstractUser) -> QuerySet[ApiToken]:
    """The user's tokens, newest first."""
    return ApiToken.objects.filter(user=user).order_by("-id")


def settings_json() -> dict[str, Any]:
    """All settings with their values, and which secrets are stored. No secret's value is in it."""
    now = preferences()
    return {
        "settings": {name: getattr(now, name) for name in Preferences.options()},
        "secrets": {
            state.kind.name: {"is_set": state.is_set, "last_four": state.last_four} for state in secret_states()
        },
    }


def health() -> dict[str, Any]:
    """Whether the web process is up, its database answers, and what keeps the studio from work: "" or a sentence."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            is_up = cursor.fetchone() == (1,)
    except DatabaseError:
        is_up = False
    full = disk_trouble()
    trouble = f"{full.message} {full.hint}" if full else ""
    return {"ok": is_up, "version": __version__, "database": connection.vendor, "trouble": trouble}
