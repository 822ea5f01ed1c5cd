"""The engine's errors. Each is part of the interface: what happened, and what to do about it."""


class EngineError(Exception):
    """An expected failure of the engine, worded for the researcher.

    `code` is a stable name for tests and scripts, `message` says what happened, `hint` what to change.
    `transient` errors (network, busy server) are retried by the job queue; all others are final.
    """

    code = "engine_error"
    transient = False

    def __init__(self, message: str, hint: str = "", *, code: str | None = None, transient: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code
        if transient is not None:
            self.transient = transient


class SpecInvalid(EngineError):
    """A Spec's values cannot be meant; `field` names the offending option, empty when several disagree."""

    code = "spec_invalid"

    def __init__(self, message: str, hint: str = "", *, field: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


class SpecTooNew(EngineError):
    """A stored Spec was written by a newer version of the studio."""

    code = "spec_too_new"


class Transient(EngineError):
    """Something outside failed and may work in a moment: the job is tried again with growing pauses."""

    code = "transient"
    transient = True


class OutOfMemory(EngineError):
    """A device ran out of memory; the message carries needed and free bytes."""

    code = "out_of_memory"


class DiskFull(EngineError):
    """Less space is left on the data disk than the work needs."""

    code = "disk_full"


class BadArtifact(EngineError):
    """A file is missing, truncated or not what its name says."""

    code = "bad_artifact"
