"""The child's entry point: a Spec as a JSON file in, JSON lines out, one engine function in between.

    python -m workers.child JOB.json          one job, then the end
    python -m workers.child --serve           a warm child: one path to a JOB.json per line of standard input

JOB.json: {"job", "attempt", "kind", "spec", "inputs", "control"}; `control` is the path of control.json, where wishes
arrive. Every line names job and attempt: a supervisor takes those of its own alone. No Django, no database. Exit codes:
0 done, 1 failed (an error line was written), 75 stopped by a wish or SIGTERM.
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from workers.engine.disk import is_disk_full
from workers.engine.library_warnings import library_warnings
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.base import spec_load
from workers.engine.specs.errors import EngineError
from workers.engine.specs.kinds import INPUTS, SPECS
from workers.watchdog import watch_studio

CONTROL_EVERY_S = 0.25
PROGRESS_EVERY_S = 0.1
STOPPED = 75


class ChildProgress(Progress):
    """Progress that writes lines to the supervisor and reads wishes from control.json and SIGTERM."""

    def __init__(self, out: TextIO, job: dict[str, Any]) -> None:
        super().__init__()
        self._out = out
        self._whose = {name: job.get(name) for name in ("job", "attempt")}
        self._control = Path(job["control"])
        self._next_look = 0.0
        self._wish: str | None = None
        self._done_wishes: set[int] = set()
        self._number = 0
        self._next_progress = 0.0
        self._last_phase = ""
        self.interrupted = False

    def tell(self, line: dict[str, Any]) -> None:
        if line["t"] == "progress" and not self._is_due(line):
            return
        # A dead supervisor must not keep a training from writing its checkpoint.
        with contextlib.suppress(BrokenPipeError):
            self._out.write(json.dumps(line | self._whose) + "\n")
            self._out.flush()

    def _is_due(self, line: dict[str, Any]) -> bool:
        now = time.monotonic()
        is_news = line["phase"] != self._last_phase or line["done"] == line["total"]
        if not is_news and now < self._next_progress:
            return False
        self._last_phase, self._next_progress = line["phase"], now + PROGRESS_EVERY_S
        return True

    def wish(self) -> str | None:
        if self.interrupted:
            return "interrupt"
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + CONTROL_EVERY_S
            self._look()
        return self._wish

    def _look(self) -> None:
        try:
            control = json.loads(self._control.read_text())
        except (OSError, ValueError):
            return
        self._number = control["number"]
        self._wish = None if self._number in self._done_wishes else control["wish"]

    def wish_done(self, wish: str) -> None:
        self._done_wishes.add(self._number)
        self._wish = None
        self.tell({"t": "wish_done", "wish": wish})


def run(path: Path, out: TextIO) -> tuple[int, ChildProgress]:
    """Run the job described at `path`; returns the exit code after writing the last line."""
    job = json.loads(path.read_text())
    progress = ChildProgress(out, job)
    _on_sigterm(progress)
    try:
        spec = spec_load(SPECS[job["kind"]], job["spec"])
        inputs = INPUTS[job["kind"]].from_json(job["inputs"])
        module, _, function = spec.ENGINE.partition(":")
        work = getattr(importlib.import_module(f"workers.engine.{module}"), function)
        with library_warnings(progress):
            result = work(spec, inputs, progress)
        progress.tell({"t": "result", "result": result.to_json()})
        return 0, progress
    except Stopped as stop:
        progress.tell({"t": "stopped", "wish": stop.wish})
        return STOPPED, progress
    except EngineError as error:
        progress.tell(_error_line(error.code, error.message, error.hint, transient=error.transient))
    except MemoryError:
        progress.tell(_error_line("out_of_memory", "The machine ran out of memory.", "Choose smaller sizes."))
    except Exception as error:  # noqa: BLE001 - one of the three places: whatever happens becomes an error line
        progress.tell(_unexpected_line(error))
    return 1, progress


def _unexpected_line(error: Exception) -> dict[str, Any]:
    """A full disk is no fault: the job waits for room and is tried again."""
    if is_disk_full(error):
        return _error_line(
            "disk_full",
            "The disk became full while the job wrote.",
            "Delete datasets, caches or checkpoints that are no longer needed.",
            transient=True,
        )
    return _error_line(
        "unexpected",
        f"{type(error).__name__}: {error}",
        "This is a fault of the studio; the log below helps to find it.",
    )


def _error_line(code: str, message: str, hint: str, *, transient: bool = False) -> dict[str, Any]:
    trace = traceback.format_exc()
    print(trace, file=sys.stderr)
    return {"t": "error", "code": code, "message": message, "hint": hint, "transient": transient, "traceback": trace}


def _on_sigterm(progress: ChildProgress) -> None:
    """SIGTERM is the wish to interrupt: write a checkpoint and exit 75."""

    def interrupt(number: int, frame: object) -> None:
        progress.interrupted = True

    signal.signal(signal.SIGTERM, interrupt)


def serve(out: TextIO) -> int:
    """A warm child: runs one job after another, keeping models loaded, until its input closes or SIGTERM comes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    for line in sys.stdin:
        code, progress = run(Path(json.loads(line)["job"]), out)
        progress.tell({"t": "end", "code": code})
        if progress.interrupted:
            return STOPPED
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    return 0


def _die_with_parent() -> None:
    """Linux: SIGTERM when the supervisor dies, so that no orphan goes on computing. Elsewhere the reaper sees to it."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Keep standard output for lines alone, then serve or run."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _die_with_parent()
    watch_studio()
    if arguments == ["--serve"]:
        return serve(lines)
    return run(Path(arguments[0]), lines)[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
