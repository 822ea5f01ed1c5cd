"""Whole data files of a split, downloaded before they are read: resumed by range, checked by size and SHA-256."""

import hashlib
from pathlib import Path

from huggingface_hub import hf_hub_url

from workers.engine.datasets.hub_repository import HubFile, HubRepository, dataset_errors
from workers.engine.disk import disk_require
from workers.engine.hub_files import bytes_here, hub_file_fetch
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.waiting import waited

CHUNK = 2**20


def hub_files_download(repository: HubRepository, names: list[str], folder: Path, progress: Progress) -> list[Path]:
    """Bring `names` below `folder`; what lies there already is not asked for again. Progress counts bytes.

    Raises EngineError "bad_checksum" (the file is removed), DiskFull, Transient and the codes of `dataset_errors`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {name: repository.files[name].size for name in names}
    total = sum(sizes.values())

    def here() -> int:
        return sum(min(bytes_here(folder / name), size) for name, size in sizes.items())

    disk_require(folder, total - here())
    progress.phase("Downloading", total, "bytes")
    for name in names:
        waited(lambda name=name: _download(repository, name, folder), lambda: progress.reach(here()))
        _check(folder / name, repository.files[name], repository.repo_id)
    progress.reach(total)
    return [folder / name for name in names]


def _download(repository: HubRepository, name: str, folder: Path) -> None:
    url = hf_hub_url(repository.repo_id, name, repo_type="dataset", revision=repository.revision)
    with dataset_errors(repository.repo_id):
        hub_file_fetch(url, folder / name, repository.files[name].size, lambda _: None)


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
