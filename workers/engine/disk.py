"""Room on the data disk, asked for before it is needed."""

import errno
import shutil
from pathlib import Path

from workers.engine.specs.errors import DiskFull

FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("no space left", "disk quota exceeded")


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception says that a disk took no more. Libraries in other languages say so in their words only."""
    said = str(error).lower()
    return getattr(error, "errno", None) in FULL_ERRNOS or any(words in said for words in FULL_WORDS)


def disk_require(path: str | Path, needed_bytes: int) -> None:
    """Raise DiskFull when the disk of `path` has fewer than `needed_bytes` free."""
    free = shutil.disk_usage(path).free
    if free < needed_bytes:
        raise DiskFull(
            f"The work needs {needed_bytes / 2**30:.2f} GiB on the data disk; {free / 2**30:.2f} GiB are free.",
            "Delete datasets, caches or checkpoints that are no longer needed, or ask for less.",
        )
