"""Troubles that pass: a full disk, a database that another program has locked, one that does not answer for a while.

Long-lived processes live through them: `tried` for what comes round again by itself, `ridden_out` for what must be done.
Pages and commands say them in words (`trouble_of`, `disk_trouble`).
"""

import errno
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

from apps.core.errors import AppError
from apps.core.storage import disk_free_bytes

RETRY_EVERY_S = 1.0
SAID_EVERY_S = 60.0
DISK_FLOOR_BYTES = 64 * 2**20
"""With less than this on the data folder's disk no job starts and pages say that it is full: rows, logs and checkpoints
of what is under way need the rest."""
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("full", "no space left", "disk i/o error", "unable to open database file", "could not extend")
LOCKED_WORDS = ("locked", "busy")

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)
_said_at: dict[str, float] = {}
"""When this process last told its log of a trouble, by code."""


def trouble_of(error: BaseException) -> AppError | None:
    """The trouble behind an exception, in words; None for an error that waiting does not cure."""
    if isinstance(error, OSError):
        return _disk_full() if error.errno in FULL_ERRNOS else None
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    words = str(error).lower()
    if any(word in words for word in FULL_WORDS):
        return disk_trouble() or _disk_full()
    if any(word in words for word in LOCKED_WORDS):
        return AppError(
            "database_locked",
            "Another program holds the lock of the studio's database.",
            "Close programs that have db.sqlite3 open, or wait: then it goes on by itself.",
            status=503,
        )
    if connection.vendor == "postgresql":
        return AppError(
            "database_away",
            f"The database does not answer: {str(error).strip().splitlines()[0] if words else 'connection lost'}.",
            "Look at the database server; the studio goes on by itself once it answers.",
            status=503,
        )
    return None


def disk_trouble() -> AppError | None:
    """That the data folder's disk is full, with how much to free; None while there is room."""
    return _disk_full() if disk_free_bytes() < DISK_FLOOR_BYTES else None


def _disk_full() -> AppError:
    free = disk_free_bytes()
    wanted = max(DISK_FLOOR_BYTES - free, DISK_FLOOR_BYTES // 2)
    return AppError(
        "disk_full",
        f"The disk of the data folder is full: {free // 2**20} MB are free.",
        f"Free {-(-wanted // 2**20)} MB or more; then it goes on by itself.",
        status=507,
    )


def tried(action: Callable[[], object]) -> bool:
    """Call `action`; False, with the trouble in the log, when one that passes kept it from its work."""
    try:
        action()
    except (OperationalError, InterfaceError, OSError) as error:
        _require_passing(error)
        return False
    return True


def ridden_out(action: Callable[[], Answer], *, give_up: Callable[[], bool] = lambda: False) -> Answer:
    """The answer of `action`, called until no passing trouble keeps it from its work. The trouble itself once `give_up()`."""
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError, OSError) as error:
            _require_passing(error)
            if give_up():
                raise
        threading.Event().wait(RETRY_EVERY_S)


def _require_passing(error: Exception) -> None:
    """Called where `error` is handled: log a passing trouble, raise any other anew. A lost connection is closed, so that
    the next try makes one."""
    trouble = trouble_of(error)
    if trouble is None or connection.in_atomic_block:
        raise error
    now = time.monotonic()
    if now - _said_at.get(trouble.code, -SAID_EVERY_S) >= SAID_EVERY_S:
        _said_at[trouble.code] = now
        log.warning("%s %s (%s)", trouble.message, trouble.hint, error)
    connection.close_if_unusable_or_obsolete()
