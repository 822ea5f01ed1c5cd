"""Who may enter: the owner, one-time entry links, passwords and API tokens.

The first start makes the user `owner` without a password and prints an entry link. A link carries a signed, timed nonce
whose row is used up by a conditional UPDATE: it opens the studio once, within ENTRY_LIFE.
"""

import ipaddress
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.models import EntryLink

OWNER = "owner"
ENTRY_LIFE = timedelta(minutes=15)
ENTRY_ROWS_KEPT = timedelta(days=1)
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_SIGNER = TimestampSigner(salt="apps.core.entry")


def owner_ensure() -> AbstractUser:
    """The user `owner`, made at the first start: superuser, no usable password."""
    users = get_user_model().objects
    owner = users.filter(username=OWNER).first()
    return owner or users.create_superuser(OWNER, password=None)


def entry_url_make(*, base_url: str) -> str:
    """A fresh one-time link for the owner below `base_url`, good for ENTRY_LIFE."""
    EntryLink.objects.filter(created_at__lt=timezone.now() - ENTRY_ROWS_KEPT).delete()
    link = EntryLink.objects.create(user=owner_ensure(), nonce=secrets.token_urlsafe(32))
    return base_url.rstrip("/") + _entry_path(_SIGNER.sign(link.nonce))


def _entry_path(token: str) -> str:
    """As reverse("core:enter"), but without importing every page: the studio's main process prints a link and shows none."""
    return reverse("enter", urlconf="apps.core.urls", args=[token])


def entry_link_use(*, token: str) -> AbstractUser:
    """The user whom a link signs in; it opens nothing afterwards. AppError "entry_refused" for used, old or forged ones."""
    try:
        nonce = _SIGNER.unsign(token, max_age=ENTRY_LIFE)
    except BadSignature:  # SignatureExpired is one
        raise _entry_refused() from None
    changed = EntryLink.objects.filter(nonce=nonce, used_at__isnull=True).update(used_at=timezone.now())
    if changed != 1:
        raise _entry_refused()
    user = EntryLink.objects.select_related("user").get(nonce=nonce).user
    if not user.is_active:
        raise _entry_refused()
    return user


def _entry_refused() -> AppError:
    return AppError(
        "entry_refused",
        "This entry link was used already, is older than 15 minutes, or is damaged.",
        "Print a new one on the studio's machine: manage.py entry_url",
        status=403,
    )


def password_set(*, user: AbstractUser, password: str) -> None:
    """Give a user a password; AppError "password_weak" says what is wrong with it."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise AppError("password_weak", " ".join(error.messages), "Choose a longer phrase.", field="password") from None
    user.set_password(password)
    user.save(update_fields=["password"])


def bind_check(host: str) -> None:
    """Refuse to listen beyond loopback unless the owner has a password and ALLOWED_HOSTS names who is asked for."""
    if is_loopback(host):
        return
    if not owner_ensure().has_usable_password():
        raise AppError(
            "password_needed",
            f"Listening on {host} opens the studio to the network, and the owner has no password.",
            "Set one first: manage.py password_set",
        )
    named = set(settings.ALLOWED_HOSTS) - LOOPBACK_NAMES
    if not named or "*" in named:
        raise AppError(
            "hosts_needed",
            f"Listening on {host} needs the names under which browsers reach the studio.",
            "Set ALLOWED_HOSTS to them, comma-separated; * is not enough.",
        )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
