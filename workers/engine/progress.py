"""The engine's only window to the outside: what it tells (JSON lines) and what it is asked (wishes).

Engine functions get a `Progress` and call `phase`, `advance`, `metrics`, `event`. In a notebook or a test the base class
here keeps everything in memory; under the supervisor `workers/child.py` hands in one that writes lines and reads control.json.

Wishes: "checkpoint" (write one and go on), "pause" and "interrupt" (write one and stop), "finish" (stop, keep the result),
"cancel" (stop, keep nothing). Functions that can resume read `wish()` themselves inside their loop; all others just call
`advance`, which raises Stopped for every wish that ends the work.
"""

import time
from typing import Any

from workers.engine.specs.base import finite_require

ENDING_WISHES = ("pause", "interrupt", "cancel")


class Stopped(Exception):
    """Raised inside the engine to leave it at a safe point; `wish` says why."""

    def __init__(self, wish: str) -> None:
        super().__init__(wish)
        self.wish = wish


class Progress:
    """Keeps what was told in memory: `lines` has every message in order."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.resumable = False
        self._name = ""
        self._done = 0
        self._total: int | None = None
        self._unit = ""

    # what the engine tells

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        """A new part of the work begins: `total` units of it, None when unknown."""
        self._name, self._done, self._total, self._unit = name, 0, total, unit
        self._tell_progress("")
        self._stop_if_asked()

    def advance(self, amount: int = 1, message: str = "") -> None:
        """`amount` more units are done. Raises Stopped when the work shall end here (unless `resumable`)."""
        self.reach(self._done + amount, message)

    def reach(self, done: int, message: str = "") -> None:
        """`done` units of the phase are done in all. Raises Stopped like `advance`."""
        self._done = done
        self._tell_progress(message)
        self._stop_if_asked()

    def metrics(self, step: int, *, member: int = 0, **values: float | list[int]) -> None:
        """One point of the charts; `member` says of which SAE when a job trains several. A list is a histogram.
        EngineError "not_finite" for a value that is NaN or infinite."""
        finite_require(values, f"metrics of step {step}")
        self.tell({"t": "metrics", "member": member, "step": step, "values": values})

    def event(self, text: str, level: str = "info") -> None:
        """A sentence for the job's log: level info or warning."""
        self.tell({"t": "event", "level": level, "text": text})

    def checkpoint(self, step: int, path: str, size_bytes: int, **values: float) -> None:
        """A checkpoint now lies complete at `path` (relative to the job's folder).
        EngineError "not_finite" as in `metrics`."""
        finite_require(values, f"checkpoint of step {step}")
        self.tell({"t": "checkpoint", "step": step, "path": path, "bytes": size_bytes, "values": values})

    # what the engine is asked

    def wish(self) -> str | None:
        """The wish that stands, or None. Cheap enough to ask at every step."""
        return None

    def wish_done(self, wish: str) -> None:
        """A wish that does not end the work ("checkpoint") was fulfilled."""

    # how it travels

    def tell(self, line: dict[str, Any]) -> None:
        """Send one message; subclasses decide where to."""
        self.lines.append(line)

    def _tell_progress(self, message: str) -> None:
        self.tell(
            {
                "t": "progress",
                "phase": self._name,
                "done": self._done,
                "total": self._total,
                "unit": self._unit,
                "message": message,
                "at": time.time(),
            }
        )

    def _stop_if_asked(self) -> None:
        wish = self.wish()
        if wish in ENDING_WISHES and not self.resumable:
            raise Stopped(wish)
