"""SHA-256 of weight files, in one reading, with progress in bytes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from workers.engine.language_models.model_files import WEIGHTS
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


def weights_sha256(folder: str | Path, progress: Progress) -> str:
    """SHA-256 over the safetensors files, in order of their names. Progress counts bytes."""
    files = sorted(Path(folder).glob(WEIGHTS))
    progress.phase("Hashing", sum(path.stat().st_size for path in files), "bytes")
    return files_sha256(files, progress)
