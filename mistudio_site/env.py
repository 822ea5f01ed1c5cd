"""The studio's environment variables: one table with default and meaning, read once by settings.

The README's table is made from VARIABLES; a test compares the two.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Variable:
    """One environment variable. `least` and `most` bound numbers."""

    name: str
    default: str
    help: str
    least: float | None = None
    most: float | None = None


VARIABLES: tuple[Variable, ...] = (
    Variable("DATA_DIR", "./data", "Folder of database, weights, caches, logs and keys."),
    Variable("DATABASE_URL", "", "PostgreSQL address; empty: an embedded SQLite file in DATA_DIR."),
    Variable(
        "MISTUDIO_HOST", "127.0.0.1", "Address to listen on; others than loopback need a password and ALLOWED_HOSTS."
    ),
    Variable("MISTUDIO_PORT", "8765", "Port of the web pages.", 0, 65535),
    Variable("ALLOWED_HOSTS", "", "Host names that browsers may use, comma-separated; loopback names always work."),
    Variable(
        "MISTUDIO_BEHIND_TLS", "0", "1 behind a TLS proxy: secure cookies, HSTS, X-Forwarded-Proto trusted.", 0, 1
    ),
    Variable(
        "MISTUDIO_PROXIES",
        "0",
        "Proxies before the studio; that many last entries of X-Forwarded-For are trusted for the lock-out of guessers.",
        0,
        10,
    ),
    Variable("CSRF_TRUSTED_ORIGINS", "", "Origins trusted for forms behind a proxy, comma-separated with scheme."),
    Variable("MISTUDIO_SECRET_KEY", "", "Django's secret key; empty: made once in DATA_DIR/keys."),
    Variable("MISTUDIO_FERNET_KEYS", "", "Keys for stored secrets, newest first; empty: made once in DATA_DIR/keys."),
    Variable("MISTUDIO_DEBUG", "0", "1 shows Django's error pages. Never on a network.", 0, 1),
    Variable("MISTUDIO_MONITOR_INTERVAL_S", "2", "Seconds between samples of the machine.", 1, 30),
    Variable("MISTUDIO_SLOTS_GPU", "1", "Jobs of the gpu queue at once on this host.", 0, 64),
    Variable("MISTUDIO_SLOTS_CPU", "1", "Jobs of the cpu queue at once on this host.", 0, 64),
    Variable("MISTUDIO_SLOTS_IO", "3", "Downloads, imports and look-ups at once on this host.", 0, 64),
    Variable("MISTUDIO_SLOTS_STEER", "1", "Steering jobs at once on this host; the warm child serves them.", 0, 1),
    Variable("MISTUDIO_WARM_IDLE_S", "120", "Seconds after which an unused warm child ends.", 1, 86400),
    Variable("MISTUDIO_UPLOAD_MAX_MB", "512", "Largest file that may be uploaded, in MiB.", 1, 1_000_000),
    Variable(
        "MISTUDIO_ACTIVATIONS_MAX_GB",
        "",
        "Most GiB that all activation caches may take; empty: no limit.",
        1,
        10_000_000,
    ),
    Variable(
        "MISTUDIO_ALLOW_PRIVATE_LLM", "1", "1 lets Ollama and endpoint addresses be on this machine or network.", 0, 1
    ),
)

_BY_NAME = {v.name: v for v in VARIABLES}


def read(name: str) -> str:
    """The variable's text, or its default."""
    return os.environ.get(name, _BY_NAME[name].default)


def read_int(name: str) -> int:
    """A whole number within the variable's bounds; SystemExit with a clear sentence otherwise."""
    variable, text = _BY_NAME[name], read(name)
    try:
        number = int(text)
    except ValueError:
        raise SystemExit(f"{name}={text!r} is not a whole number.") from None
    if (variable.least is not None and number < variable.least) or (
        variable.most is not None and number > variable.most
    ):
        raise SystemExit(f"{name}={number} is outside {variable.least:g} to {variable.most:g}.")
    return number


def read_int_or_none(name: str) -> int | None:
    """As `read_int`; None when the variable is empty."""
    return read_int(name) if read(name).strip() else None


def read_bool(name: str) -> bool:
    """1 is true, 0 is false; anything else ends the start with a sentence."""
    return bool(read_int(name))


def read_list(name: str) -> list[str]:
    """Comma-separated words, blanks dropped."""
    return [word.strip() for word in read(name).split(",") if word.strip()]


def read_path(name: str) -> Path:
    """An absolute path, ~ expanded; SystemExit with a clear sentence for what is no path."""
    try:
        return Path(read(name)).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # links in a circle; a home that nobody has
        raise SystemExit(f"{name}={read(name)!r} is no path: {error}.") from None


def folder_make(name: str, folder: Path) -> None:
    """Make the folder that a variable names; SystemExit with a clear sentence when it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "you may not write there"
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise SystemExit(f"{name}={str(folder)!r} cannot be used: {reason}. Choose a folder that you may write to.")
