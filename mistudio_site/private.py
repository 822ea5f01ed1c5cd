"""The data folder is its owner's alone: it holds session keys, secrets' keys and people's texts."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from mistudio_site import env

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""What the mode of a private file or folder lacks."""


def data_folder_prepare(folder: Path) -> None:
    """Make `folder` if need be and close it to other users of the machine, with the database, keys and logs in it.

    The umask becomes 077 for this process and all that it starts. SystemExit for a folder that others must be able to use.
    """
    os.umask(OTHERS)
    env.folder_make("DATA_DIR", folder)
    if folder.stat().st_mode & stat.S_ISVTX or folder == folder.parent:
        raise SystemExit(
            f"DATA_DIR={folder} is shared by all users of this machine. Name a folder of the studio's own."
        )
    with contextlib.suppress(FileNotFoundError):  # the database's side files come and go
        for path in _sensitive(folder):
            _close(path)


def _sensitive(folder: Path) -> Iterator[Path]:
    """The folder, and what in it may be older than this care: large folders are out of reach once `folder` is closed."""
    for held in (folder, folder / "keys", folder / "logs"):
        if held.is_dir():
            yield held
            yield from (path for path in held.iterdir() if path.is_file() and not path.is_symlink())


def _close(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & OTHERS:
        return
    try:
        path.chmod(mode & ~OTHERS)
    except OSError as error:
        print(
            f"{path} is open to other users of this machine and its mode cannot be changed: {error.strerror}.",
            file=sys.stderr,
        )
