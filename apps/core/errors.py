"""Errors that reach people: what happened, and what to do about it."""

from apps.core.machine_paths import paths_hidden
from workers.engine.specs.errors import EngineError, SpecInvalid


class AppError(Exception):
    """An expected failure. `code` is stable for scripts, `message` says what happened, `hint` what to do.

    `status` is the HTTP status of the page or JSON answer; `references` lists what stands in the way of a deletion.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        status: int = 400,
        field: str = "",
        references: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.field = field
        self.references = references

    @classmethod
    def from_engine(cls, error: EngineError) -> "AppError":
        """The same error for the web side; Specs that cannot be meant are the caller's fault (400)."""
        field = error.field if isinstance(error, SpecInvalid) else ""
        return cls(error.code, paths_hidden(error.message), paths_hidden(error.hint), field=field)


class NotFound(AppError):
    """The thing a URL or a command names does not exist."""

    def __init__(self, what: str, name: object) -> None:
        super().__init__("not_found", f"There is no {what} {name}.", f"Look at the list of {what}s.", status=404)


class StillReferenced(AppError):
    """A deletion is refused because other things stand on it: HTTP 409 with their names."""

    def __init__(self, what: str, references: list[str]) -> None:
        words = ", ".join(references[:5]) + (f" and {len(references) - 5} more" if len(references) > 5 else "")
        super().__init__(
            "still_referenced",
            f"{what} is still used by {words}.",
            "Delete those first.",
            status=409,
            references=tuple(references),
        )
