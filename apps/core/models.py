"""Rows that belong to the studio as a whole: settings, secrets, API tokens, entry links and live pulses."""

import hashlib
import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.core.fields import EncryptedTextField


class Setting(models.Model):
    """One changeable setting; its name, type and default are declared in `apps/core/preferences.py`."""

    name = models.CharField(max_length=80, unique=True)
    value = models.JSONField()
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name


class Secret(models.Model):
    """A credential, encrypted at rest. Pages and commands show its last four characters and never more."""

    name = models.CharField(max_length=80, unique=True)
    value = EncryptedTextField()
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name

    @property
    def last_four(self) -> str:
        """The end of the value; nothing of a short one."""
        return self.value[-4:] if len(self.value) >= 12 else ""


class ApiToken(models.Model):
    """A bearer token for scripts. Only its SHA-256 is stored; the token itself is shown once, when made."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    last_four = models.CharField(max_length=4)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    """From then on it opens nothing; None: it never ends."""
    is_read_only = models.BooleanField(default=False)
    """It opens GET and HEAD alone."""
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} (…{self.last_four})"

    @property
    def has_ended(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def scope_words(self) -> str:
        """What it may do."""
        return "may only read" if self.is_read_only else "may change things"

    @property
    def end_words(self) -> str:
        """When it ends, for a terminal."""
        if self.expires_at is None:
            return "never ends"
        return f"{'ended' if self.has_ended else 'ends'} {self.expires_at:%Y-%m-%d %H:%M} UTC"

    @staticmethod
    def make() -> str:
        """A new token's text."""
        return f"mist_{secrets.token_urlsafe(32)}"

    @staticmethod
    def digest_of(token: str) -> str:
        """What is stored of a token."""
        return hashlib.sha256(token.encode()).hexdigest()


class EntryLink(models.Model):
    """A one-time sign-in link; `nonce` is what its signed token carries. Used or old ones open nothing."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="entry_links")
    nonce = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"entry link of {self.user}"


class Pulse(models.Model):
    """SQLite only: one published topic name. The hub reads new rows; the sampler deletes old ones."""

    topic = models.CharField(max_length=120)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.topic
