"""Which process is meant: pid and start time. The start is told by a clock that nobody sets and no sleep of the machine
stops or jumps, so that a process stays itself after either."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ENDED_STATES = ("Z", "X")
"""A zombie has ended: only its exit code is left, maybe for ever where process 1 collects none."""


def process_started(pid: int) -> str:
    """When a process began, in words that no other process with its pid shares; "" when none lives."""
    return _started_linux(pid) if sys.platform == "linux" else _started_elsewhere(pid)


def _started_linux(pid: int) -> str:
    """Clock ticks since the machine's start, and which start that was."""
    try:
        # After the program's name, which may hold anything, brackets included: state is field 3, the start field 22.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ENDED_STATES else f"{fields[19]} ticks of {_boot()}"


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return "this machine"


def _started_elsewhere(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def process_is(pid: int | None, started: str) -> bool:
    """Does the process still live that had this pid when it began at `started`?"""
    return bool(pid and started) and process_started(pid) == started


def process_group_kill(pid: int | None, started: str) -> bool:
    """SIGKILL the group of a recorded child, if it is still that child. True when something was killed."""
    if not process_is(pid, started):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
        return True
    return False
