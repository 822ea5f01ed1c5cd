"""Room on the data disk, asked for before it is needed."""

import shutil
from pathlib import Path

from workers.engine.specs.errors import DiskFull


def disk_require(path: str | Path, needed_bytes: int) -> None:
    """Raise DiskFull when the disk of `path` has fewer than `needed_bytes` free."""
    free = shutil.disk_usage(path).free
    if free < needed_bytes:
        raise DiskFull(
            f"The work needs {needed_bytes / 2**30:.2f} GiB on the data disk; {free / 2**30:.2f} GiB are free.",
            "Delete datasets, caches or checkpoints that are no longer needed, or ask for less.",
        )
