"""Bearer tokens for scripts: made with an end and a scope, looked up at every call, revoked by deletion."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.utils import timezone

from apps.core.errors import AppError, NotFound
from apps.core.models import ApiToken
from workers.engine.specs.base import Spec, option
from workers.engine.specs.errors import SpecInvalid

USE_NOTED_EVERY = timedelta(minutes=1)
LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True)
class NewApiToken(Spec):
    """What a new API token is for and may do."""

    TITLE: ClassVar[str] = "API token"

    name: str = option(label="Name", help="What the token is for, such as: laptop notebook.")
    days: int | None = option(
        None,
        label="Ends after",
        minimum=1,
        maximum=3650,
        unit="days",
        help="The token opens nothing from then on; empty: it works until it is revoked.",
    )
    read_only: bool = option(False, label="May only read", help="The token may look at everything and change nothing.")

    def check(self) -> None:
        if not self.name.strip() or len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise SpecInvalid(
                f"A token needs a name of at most {LONGEST_NAME} characters on one line.", "Name its use.", field="name"
            )


def api_token_create(
    *, user: AbstractUser, name: str, days: int | None = None, read_only: bool = False
) -> tuple[str, ApiToken]:
    """A new bearer token: its text, which is never seen again, and its row. SpecInvalid for a name or end it cannot have."""
    spec = NewApiToken(name=name, days=days, read_only=read_only)
    token = ApiToken.make()
    row = ApiToken.objects.create(
        user=user,
        name=spec.name.strip(),
        digest=ApiToken.digest_of(token),
        last_four=token[-4:],
        expires_at=None if spec.days is None else timezone.now() + timedelta(days=spec.days),
        is_read_only=spec.read_only,
    )
    return token, row


def api_token_revoke(*, user: AbstractUser, pk: int) -> None:
    """Delete one of the user's own tokens."""
    if not ApiToken.objects.filter(user=user, pk=pk).delete()[0]:
        raise NotFound("API token", pk)


def api_token_use(*, token: str, changes: bool) -> ApiToken:
    """The row of a token that may be used now; its use is noted. AppError 401 when it opens nothing, 403 when the call
    `changes` things and the token may only read."""
    found = ApiToken.objects.select_related("user").filter(digest=ApiToken.digest_of(token)).first()
    if found is None or not found.user.is_active:
        raise _refused("token_unknown", "This API token is unknown or was revoked.")
    if found.has_ended:
        raise _refused("token_ended", f"This API token ended on {found.expires_at:%Y-%m-%d %H:%M} UTC.")
    if changes and found.is_read_only:
        raise AppError(
            "token_read_only", "This API token may only read.", "Use one that may change things.", status=403
        )
    now = timezone.now()
    if found.used_at is None or now - found.used_at > USE_NOTED_EVERY:
        ApiToken.objects.filter(pk=found.pk).update(used_at=now)
    return found


def _refused(code: str, message: str) -> AppError:
    return AppError(
        code, message, "Make a new one on the settings page or with manage.py api_token create.", status=401
    )


def api_token_json(row: ApiToken) -> dict[str, Any]:
    """What may be shown of a token."""
    return {
        "id": row.pk,
        "name": row.name,
        "last_four": row.last_four,
        "read_only": row.is_read_only,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "has_ended": row.has_ended,
        "used_at": row.used_at,
    }
