"""Credentials for services outside: declared once here, encrypted at rest, write-only on every page and in every command.

Jobs get them by environment alone, through the supervisor: never by a row, a file or a message.
"""

import logging
from dataclasses import dataclass

from django.db import transaction

from apps.core.errors import AppError, NotFound
from apps.core.models import Secret

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SecretKind:
    """One known credential. `environment` is the variable under which a job's child finds it."""

    name: str
    label: str
    help: str
    environment: str


SECRETS: tuple[SecretKind, ...] = (
    SecretKind("hf_token", "Hugging Face token", "For gated models and datasets; read access is enough.", "HF_TOKEN"),
    SecretKind("openai_key", "OpenAI key", "For labels by OpenAI's models.", "OPENAI_API_KEY"),
    SecretKind("neuronpedia_key", "Neuronpedia key", "For uploads to Neuronpedia.", "NEURONPEDIA_API_KEY"),
)


@dataclass(frozen=True)
class SecretState:
    """What may be shown of a secret."""

    kind: SecretKind
    is_set: bool = False
    last_four: str = ""
    is_unreadable: bool = False
    """Stored under keys that this data folder no longer has."""


def secret_kind(name: str) -> SecretKind:
    """The declaration; NotFound for an unknown name."""
    for kind in SECRETS:
        if kind.name == name:
            return kind
    raise NotFound("secret", name)


def secret_get(name: str) -> str | None:
    """The plain text; None when it is not set. AppError "secret_unreadable" when the keys were lost."""
    row = Secret.objects.filter(name=secret_kind(name).name).first()
    return None if row is None else row.value


def secret_set(*, name: str, value: str) -> None:
    """Store a credential, replacing an older one."""
    kind, value = secret_kind(name), value.strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise AppError(
            "secret_invalid",
            f"{kind.label}: this is no token; it must be one word of plain characters.",
            "Copy it again from the service's page.",
            field=name,
        )
    with transaction.atomic():  # not update_or_create: it would read a value whose keys may be lost
        Secret.objects.filter(name=kind.name).delete()
        Secret.objects.create(name=kind.name, value=value)


def secret_remove(*, name: str) -> None:
    """Forget a credential."""
    Secret.objects.filter(name=secret_kind(name).name).delete()


def secret_states() -> list[SecretState]:
    """All known secrets with what may be shown of them."""
    return [_state(kind) for kind in SECRETS]


def _state(kind: SecretKind) -> SecretState:
    try:
        row = Secret.objects.filter(name=kind.name).first()
    except AppError:
        return SecretState(kind, is_set=True, is_unreadable=True)
    return SecretState(kind) if row is None else SecretState(kind, is_set=True, last_four=row.last_four)


def secret_environment() -> dict[str, str]:
    """Variables for a job's child: those that are set and readable."""
    found = {}
    for kind in SECRETS:
        try:
            value = secret_get(kind.name)
        except AppError as error:
            log.warning("%s is left out: %s", kind.environment, error.message)
            continue
        if value is not None:
            found[kind.environment] = value
    return found
