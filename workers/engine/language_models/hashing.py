"""SHA-256 of weight files, in one reading, with progress in bytes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from workers.engine.progress import Progress

BLOCK_BYTES = 4 * 2**20


def files_sha256(paths: Iterable[Path], progress: Progress) -> str:
    """Hexadecimal hash of the files' contents, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                progress.advance(len(block))
    return digest.hexdigest()
