"""One file from the Hugging Face Hub, fetched so that a later try goes on where an earlier one ended.

huggingface_hub itself drops what came by half. Here it stays beside the target as "<name>.part".
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import get_hf_file_metadata, http_get
from huggingface_hub.utils import build_hf_headers
from tqdm.auto import tqdm

from workers.engine.specs.errors import DiskFull, Transient

UNFINISHED = ".part"
RANGE_REFUSED, SERVER_ERROR = 416, 500


def hub_file_fetch(url: str, path: Path, size: int, arrived: Callable[[int], None]) -> None:
    """Fetch `url`, of `size` bytes, to `path`; a file that lies there already is taken as it is.

    `arrived` is told how many bytes of the file are here, never more than `size`; what it raises ends the download. Raises
    what huggingface_hub raises (`hub_errors` has words for it), DiskFull, and Transient for a file that came by half.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        try:
            _fetch(url, part_of(path), size, arrived)
        except (HfHubHTTPError, ConnectionError, TimeoutError):
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(
                    f"The data disk is full: {path.name} arrived in part.",
                    "Delete what is no longer needed and start the import again; it goes on from there.",
                ) from error
            raise Transient(
                f"{path.name} did not arrive whole.",
                "Check the network; what has arrived is kept and the job is tried again.",
            ) from error
        part_of(path).rename(path)
    arrived(size)


def _fetch(url: str, part: Path, size: int, arrived: Callable[[int], None]) -> None:
    if part.exists() and part.stat().st_size > size:
        part.unlink()  # of another file, or written by two at once: no server can go on from there
    try:
        _get(url, part, size, arrived)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == RANGE_REFUSED:
            part.unlink()
        elif status >= SERVER_ERROR:
            get_hf_file_metadata(url, retry_on_errors=True)  # waits as long as the library has patience
        else:
            raise
        _get(url, part, size, arrived)


def part_of(path: Path) -> Path:
    """Where the bytes of an unfinished file are."""
    return path.with_name(f"{path.name}{UNFINISHED}")


def bytes_here(path: Path) -> int:
    """Bytes of a file that have arrived, finished or not."""
    for place in (path, part_of(path)):
        if place.exists():
            return place.stat().st_size
    return 0


def _get(url: str, part: Path, size: int, arrived: Callable[[int], None]) -> None:
    with part.open("ab") as file:
        http_get(
            url,
            file,
            resume_size=file.tell(),
            headers=build_hf_headers(),
            expected_size=size,
            tqdm_class=_bar_class(lambda: arrived(min(file.tell(), size))),
        )


def _bar_class(tell: Callable[[], None]) -> type[tqdm]:
    """A progress bar that draws nothing. Where the file stands is asked of the file: a server that ignores the wish to go
    on sends all of it again."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **(kwargs | {"disable": False}))

        def display(self, *args: Any, **kwargs: Any) -> None:
            """Nothing is drawn."""

        def update(self, n: float | None = 1) -> bool | None:
            tell()
            return super().update(n)

    return Bar
