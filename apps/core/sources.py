"""Where imported things come from: paths on the studio's machine, and the names that rows get."""

import os
from pathlib import Path

from django.db import models

from apps.core.errors import AppError


def local_path(text: str, *, suffixes: tuple[str, ...] = (), folder: bool = False) -> Path:
    """The absolute path that `text` names on the studio's machine, links resolved; it exists and can be read.

    A file must end in one of `suffixes`; a folder is taken only with `folder`. AppError "path_…" otherwise.
    """
    if "\0" in text:
        raise _refusal("path_invalid", "The path holds a NUL character.", "Give a plain path.")
    path = Path(os.path.expanduser(text.strip())).resolve()
    if not path.exists():
        raise _refusal(
            "path_missing", f"There is no file or folder {text}.", "Paths are those of the studio's machine."
        )
    if not (path.is_file() or path.is_dir()):
        raise _refusal(
            "path_no_file", f"{path} is a device, pipe or socket.", "Give the path of an ordinary file or folder."
        )
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise _refusal("path_unreadable", f"The studio may not read {text}.", "Change its permissions, or copy it.")
    if path.is_dir() and not folder:
        raise _refusal("path_is_folder", f"{text} is a folder.", f"Give a file: {', '.join(suffixes)}.")
    if path.is_file() and path.suffix.lower() not in suffixes:
        hint = f"Supported: {', '.join(suffixes)}." if suffixes else "Give the folder that holds it."
        raise _refusal("path_format", f"{path.name} cannot be taken.", hint)
    return path


def _refusal(code: str, message: str, hint: str) -> AppError:
    return AppError(code, message, hint, field="path")


def free_name(model: type[models.Model], wanted: str) -> str:
    """`wanted`, or with the next number behind it when a row of `model` has that name: "stories", "stories 2"."""
    wanted = wanted.replace("\0", "").strip()[:190]
    taken = set(model._default_manager.filter(name__startswith=wanted).values_list("name", flat=True))
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted} {number}", number + 1
    return name


def given_name(text: str) -> str:
    """A name that a person chose, as rows hold it. AppError "name_invalid" when it is empty or too long."""
    name = text.replace("\0", "").strip()
    if not 0 < len(name) <= 200:
        raise AppError("name_invalid", "A name has 1 to 200 characters.", "Give another name.", field="name")
    return name
