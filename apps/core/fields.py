"""A text column that is encrypted at rest with the Fernet keys of the data folder (not derived from SECRET_KEY)."""

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from apps.core.errors import AppError


@lru_cache(maxsize=1)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def fernet() -> MultiFernet:
    """Encrypts with the newest key, decrypts with any."""
    return _fernet(tuple(settings.FERNET_KEYS))


class EncryptedTextField(models.TextField):
    """Plain text in Python, Fernet ciphertext in the database."""

    def get_prep_value(self, value: str | None) -> str | None:
        return None if value is None else fernet().encrypt(value.encode()).decode()

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        if value is None:
            return None
        try:
            return fernet().decrypt(value.encode()).decode()
        except InvalidToken:
            raise AppError(
                "secret_unreadable",
                "A stored secret cannot be decrypted with this data folder's keys.",
                "Restore DATA_DIR/keys/fernet.keys, or enter the secret again.",
            ) from None
