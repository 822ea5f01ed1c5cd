"""Room on the data folder's disk, asked for before work begins that would fill it."""

from apps.core.errors import AppError
from apps.core.storage import disk_free_bytes
from apps.core.templatetags.studio import bytes_words


def room_require(needed_bytes: int, what: str, hint: str, *, field: str = "") -> None:
    """AppError "disk_full" when `what` may take more than is free; `hint` says what to do about it."""
    free = disk_free_bytes()
    if needed_bytes > free:
        raise AppError(
            "disk_full",
            f"{what} may take {bytes_words(needed_bytes)}; {bytes_words(free)} are free.",
            hint,
            field=field,
        )
