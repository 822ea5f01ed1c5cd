"""One child process: its start, its JSON lines, wishes to it, and its end.

The child's standard output carries the lines; whatever it or a library prints goes to the attempt's log. The child leads
a session of its own, so that Ctrl-C does not reach it and the whole group can be killed.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from workers.engine.monitor.limits import thread_environment
from workers.supervisor.processes import process_started
from workers.watchdog import lifeline_fd

LOG_BYTES = 2_000_000
KEPT_LOG_BYTES = 500_000
ENDS_WITHIN_S = 3.0
"""What an idle child gets to end by itself."""

# Large tensors come from the heap and stay there: fresh mmaps for every temporary cost a third of a training step.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184"}
# cuda:0 shall be the same device for torch as for NVML, which counts by PCI bus.
DEVICES = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
# Threads that wait for each other sleep instead of spinning: beside other work (a second job, the browser) spinning took
# 2.7 times the processor time and up to 3 times as long.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


def child_environment(secrets: dict[str, str]) -> dict[str, str]:
    """The studio's environment with what children need besides; how many threads there are and how they wait is left to a
    user who has set it."""
    needed = {**MALLOC, **DEVICES, "TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}
    return {**WAITING, **thread_environment(), **os.environ, **needed, **secrets}


class ChildProcess:
    """A running `workers.child`. `lines` is filled by a thread; None in it means that the child closed its output."""

    def __init__(self, arguments: list[str], *, log: Path, environment: dict[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log_path = log
        self._log: IO[bytes] = log.open("ab", buffering=0)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            pass_fds=[fd] if (fd := lifeline_fd()) is not None else (),
            env=child_environment(environment),
            cwd=Path(__file__).resolve().parents[2],
        )
        self._is_gone = False
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True, name=f"child-{self.pid}").start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def started(self) -> str:
        """The start of the process, which tells it from a later one with the same pid."""
        return process_started(self.pid)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            try:
                line = json.loads(raw)
            except ValueError:
                line = None
            if isinstance(line, dict):
                self.lines.put(line)
                continue
            with contextlib.suppress(OSError, ValueError):
                self._log.write(raw)
        self.lines.put(None)

    def next_line(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line; raises queue.Empty after the timeout. None: there will be no more."""
        return self.lines.get(timeout=timeout_s)

    def ask(self, request: dict[str, Any]) -> None:
        """Hand a request line to a warm child."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def log_trim(self) -> None:
        """Keep the log below LOG_BYTES: its end stays. The child appends, so it writes on behind what is kept."""
        if self.log_path.stat().st_size > LOG_BYTES:
            with self.log_path.open("r+b") as file:
                file.seek(-KEPT_LOG_BYTES, os.SEEK_END)
                kept = file.read()
                file.seek(0)
                file.write(b"[the beginning was cut]\n" + kept)
                file.truncate()

    def terminate(self) -> None:
        """SIGTERM to the group: checkpoint and exit 75."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the group."""
        self._signal(signal.SIGKILL)

    def end(self) -> int:
        """SIGTERM, and SIGKILL to a child that has not ended ENDS_WITHIN_S later; the exit code."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(ENDS_WITHIN_S)
        self.kill()
        return self.wait()

    def wait(self) -> int:
        """The exit code, once the child is gone; what it left of its group goes too."""
        code = self.process.wait()
        if self._is_gone:
            return code
        self.kill()
        self._is_gone = True
        self._log.close()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        return code

    def _signal(self, number: int) -> None:
        if self._is_gone:  # its pid may be another's by now
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
