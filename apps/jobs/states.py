"""The states of a job and the one table of legal moves between them."""

from django.db import models


class State(models.TextChoices):
    """Where a job is. The words are what pages show."""

    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    STOPPING = "stopping", "stopping"
    PAUSED = "paused", "paused"
    INTERRUPTED = "interrupted", "interrupted"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


class Wish(models.TextChoices):
    """What a person or the studio asks of a running job; it reaches the child through control.json."""

    NONE = "", "nothing"
    CHECKPOINT = "checkpoint", "write a checkpoint"
    PAUSE = "pause", "pause"
    FINISH = "finish", "stop and keep the result"
    CANCEL = "cancel", "cancel"
    INTERRUPT = "interrupt", "go on after the restart"


ACTIVE = (State.QUEUED, State.RUNNING, State.STOPPING, State.PAUSED, State.INTERRUPTED)
ON_WORKER = (State.RUNNING, State.STOPPING)
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

MOVES: dict[State, tuple[State, ...]] = {
    State.QUEUED: (State.RUNNING, State.CANCELLED, State.FAILED),
    State.RUNNING: (State.SUCCEEDED, State.FAILED, State.STOPPING, State.INTERRUPTED, State.QUEUED),
    State.STOPPING: (State.CANCELLED, State.PAUSED, State.SUCCEEDED, State.FAILED, State.INTERRUPTED),
    State.INTERRUPTED: (State.QUEUED, State.CANCELLED, State.FAILED),
    State.PAUSED: (State.QUEUED, State.CANCELLED),
    State.SUCCEEDED: (),
    State.FAILED: (),
    State.CANCELLED: (),
}
"""running → queued only for a transient error that is tried again."""
