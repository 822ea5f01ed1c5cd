"""Whole data files of a split, downloaded before they are read: resumed by range, checked by size and SHA-256."""

import errno
import hashlib
from contextlib import suppress
from pathlib import Path

from huggingface_hub import hf_hub_download

from workers.engine.datasets.hub_repository import HubFile, HubRepository, dataset_errors
from workers.engine.disk import disk_require
from workers.engine.progress import Progress
from workers.engine.specs.errors import DiskFull, EngineError, Transient
from workers.engine.waiting import waited

CHUNK = 2**20


def hub_files_download(repository: HubRepository, names: list[str], folder: Path, progress: Progress) -> list[Path]:
    """Bring `names` below `folder`; what lies there already is not asked for again. Progress counts bytes.

    Raises EngineError "bad_checksum" (the file is removed), DiskFull, Transient and the codes of `dataset_errors`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(repository.files[name].size for name in names)
    disk_require(folder, max(0, total - _bytes_in(folder)))
    progress.phase("Downloading", total, "bytes")

    def tell() -> None:
        progress.reach(min(_bytes_in(folder), total))

    paths = []
    for name in names:
        paths.append(Path(waited(lambda name=name: _download(repository, name, folder), tell)))
        _check(paths[-1], repository.files[name], repository.repo_id)
        tell()
    return paths


def _download(repository: HubRepository, name: str, folder: Path) -> str:
    try:
        with dataset_errors(repository.repo_id):
            return hf_hub_download(
                repository.repo_id, name, repo_type="dataset", revision=repository.revision, local_dir=folder
            )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull("The data disk is full.", "Make room; what has arrived is kept for the retry.") from error
        raise Transient(
            f"{name} did not arrive whole.", "Check the network; what has arrived is kept and the job is tried again."
        ) from error


def _check(path: Path, expected: HubFile, repo_id: str) -> None:
    """Remove a file that is not what the Hub said, and say so."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if path.stat().st_size != expected.size or (expected.sha256 and digest.hexdigest() != expected.sha256):
        path.unlink()
        raise EngineError(
            f"{path.name} of {repo_id} arrived damaged: its size or SHA-256 differs from the Hub's.",
            "It was removed; import again. If it happens again, look for a proxy that changes files.",
            code="bad_checksum",
        )


def _bytes_in(folder: Path) -> int:
    """Bytes of finished and unfinished files, without huggingface_hub's own notes."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a finished file is renamed at any moment
            if path.is_file() and path.suffix not in (".metadata", ".lock"):
                total += path.stat().st_size
    return total
