"""What the sampler process does every few seconds beside sampling: reap, dispatch and prune."""

import time

from apps.core.live.publishing import pulses_prune
from apps.core.troubles import tried
from workers.supervisor.claiming import is_draining
from workers.supervisor.reaping import dispatch, reap

EVERY_S = 5.0
PRUNE_EVERY_S = 60.0


class Periodic:
    """Call `due()` often; it does each thing when its time has come."""

    def __init__(self) -> None:
        self._next_look = 0.0
        self._next_prune = 0.0

    def due(self) -> None:
        """Whatever is due now."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + EVERY_S
            tried(self._look)
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_EVERY_S
            tried(pulses_prune)

    def _look(self) -> None:
        if not is_draining():
            reap()
            dispatch()
