"""Keys that must outlive a restart: Django's secret key and the Fernet keys, made once with owner-only access."""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet


def key_file_read(path: Path, make: str) -> str:
    """The text of `path`; when it is missing, `make` is written there first (mode 0600, never half-written)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(make)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first: its key counts
        finally:
            draft.unlink()
    return path.read_text().strip()


def secret_key(folder: Path) -> str:
    """Django's SECRET_KEY for this data folder."""
    return key_file_read(folder / "django.key", secrets.token_urlsafe(50))


def fernet_keys(folder: Path) -> list[str]:
    """Fernet keys for this data folder, newest first."""
    return key_file_read(folder / "fernet.keys", Fernet.generate_key().decode()).split()
