"""The data folder: every path is made here from ids, never from a user's text. Rows hold paths relative to DATA_DIR."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from django.conf import settings
from django.utils._os import safe_join

FOLDERS = (
    "jobs",
    "uploads",
    "datasets",
    "tokenizations",
    "models",
    "activations",
    "saes",
    "features",
    "exports",
    "tmp",
)


def data_path(folder: str, *parts: object) -> Path:
    """DATA_DIR/folder/part/…; ValueError for a folder that house rules do not know or a path that leaves DATA_DIR."""
    if folder not in FOLDERS:
        raise ValueError(f"no such data folder: {folder}")
    return Path(safe_join(settings.DATA_DIR, folder, *[str(part) for part in parts]))


def relative(path: Path) -> str:
    """`path` as rows hold it."""
    return str(path.relative_to(settings.DATA_DIR))


_PLACED: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("placed", default=None)


def artifact_place(draft: Path, final: Path) -> None:
    """Rename a finished folder out of tmp/ to its place: it appears whole or not at all. An older one is replaced."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        artifact_remove(final)
    draft.rename(final)
    placed = _PLACED.get()
    if placed is not None:
        placed.append((draft, final))


@contextmanager
def placed_or_put_back() -> Iterator[None]:
    """Around a transaction that places artifacts: when it fails they go back to where they grew, so that it can be tried
    again and no folder stays that no row knows."""
    token = _PLACED.set([])
    try:
        yield
    except BaseException:
        for draft, final in reversed(_PLACED.get() or []):
            final.rename(draft)
        raise
    finally:
        _PLACED.reset(token)


def artifact_remove(folder: Path) -> int:
    """Delete a folder of the data folder; returns the bytes freed. A missing one frees nothing."""
    folder.relative_to(settings.DATA_DIR)
    if not folder.exists():
        return 0
    freed = folder_bytes(folder)
    grave = data_path("tmp", f"deleted-{folder.parent.name}-{folder.name}")
    shutil.rmtree(grave, ignore_errors=True)
    grave.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(grave)
    shutil.rmtree(grave)
    return freed


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def tmp_sweep(keep: set[str]) -> int:
    """Empty tmp/ of what a crash left, but for the names in `keep`; returns how many entries went."""
    swept = 0
    for entry in data_path("tmp").glob("*"):
        if entry.name in keep:
            continue
        swept += 1
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    return swept


def disk_free_bytes() -> int:
    """Bytes left on the data folder's disk."""
    return shutil.disk_usage(settings.DATA_DIR).free
