"""How every process of the studio learns that the studio is gone, and ends.

The studio holds the only writing end of a pipe, its lifeline; all processes below it hold the reading end. When the
studio begins to end it closes the pipe, when it dies the system does. Whoever hears that can end its work in order;
ORPHANS_GONE_S later each kills its own process group, whatever it is doing. No other studio on the machine is touched.
"""

import os
import signal
import stat
import threading

ORPHANS_GONE_S = 12.0
"""From the end of the studio, orderly or not, to that of the last process it started."""
LIFELINE = "MISTUDIO_LIFELINE"
"""The environment's name for the number of the pipe's reading end."""

_is_gone = threading.Event()


def lifeline_fd() -> int | None:
    """The reading end that this process was started with; None outside a studio."""
    number = os.environ.get(LIFELINE, "")
    try:
        return int(number) if number and stat.S_ISFIFO(os.fstat(int(number)).st_mode) else None
    except (OSError, ValueError):
        return None


def studio_is_gone() -> bool:
    """Whether the studio that this process belongs to has ended or is about to. False outside a studio."""
    return _is_gone.is_set()


def watch_studio() -> None:
    """Watch the lifeline from now on, in processes forked from this one too. Call it once, in the group's leader."""
    fd = lifeline_fd()
    if fd is not None:
        _start(fd)
        os.register_at_fork(after_in_child=lambda: _start(fd))


def _start(fd: int) -> None:
    threading.Thread(target=_watch, args=(fd,), daemon=True, name="watchdog").start()


def _watch(fd: int) -> None:
    os.read(fd, 1)  # nobody writes: it returns when the last writer is gone
    _is_gone.set()
    threading.Event().wait(ORPHANS_GONE_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)
