"""The studio's process tree: web, workers and sampler as children in sessions of their own, restarted when they crash.

Children must not share the terminal's process group: Ctrl-C would reach all, and a group-wide SIGTERM dead-locks
django-q2's sentinel. Only the main process of each child is signalled; after a grace period its whole group is killed.
What they start in groups of their own ends by its watchdog.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.watchdog import LIFELINE

RESTART_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 15.0)
HEALTHY_AFTER_S = 60.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Runs in the child between fork and exec: SIGTERM when the studio dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Member:
    """One child of the tree and how often it had to be started again."""

    name: str
    arguments: list[str]
    pass_fds: tuple[int, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    started_at: float = 0.0
    crashes: int = 0
    restart_at: float = 0.0

    def start(self, lifeline: int) -> None:
        """Spawn with the reading end of the lifeline; on Linux SIGTERM comes too when the studio dies."""
        self.process = subprocess.Popen(
            self.arguments,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            pass_fds=(*self.pass_fds, lifeline),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "MISTUDIO_ROLE": self.name, LIFELINE: str(lifeline), **self.environment},
        )
        self.started_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """To the main process only."""
        if self.is_alive:
            self.process.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL to the child and all that it left."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class ProcessTree:
    """Keeps members running until `stop` is asked for. Start it from the main thread only: the death signal is tied to
    the thread that forks."""

    def __init__(
        self, members: list[Member], *, on_start: Callable[[str], None], report: Callable[[str], None]
    ) -> None:
        self.members = members
        self._on_start = on_start
        self._report = report
        self._lifeline, self._lifeline_held = os.pipe()

    def start(self) -> None:
        for member in self.members:
            member.start(self._lifeline)
            self._on_start(member.name)

    def look_after(self) -> None:
        """One round: restart what crashed, with growing pauses."""
        now = time.monotonic()
        for member in self.members:
            if member.is_alive:
                if member.crashes and now - member.started_at > HEALTHY_AFTER_S:
                    member.crashes = 0
                continue
            if not member.restart_at:
                code = member.process.returncode if member.process else None
                member.kill_group()
                pause = RESTART_PAUSES_S[min(member.crashes, len(RESTART_PAUSES_S) - 1)]
                member.crashes += 1
                member.restart_at = now + pause
                self._report(f"{member.name} ended with {code}; starting again in {pause:g} s")
            elif now >= member.restart_at:
                member.restart_at = 0.0
                member.start(self._lifeline)
                self._on_start(member.name)

    def let_go(self) -> None:
        """Close the lifeline: all processes hear that the studio ends, and are gone watchdog.ORPHANS_GONE_S later."""
        if self._lifeline_held >= 0:
            os.close(self._lifeline_held)
            self._lifeline_held = -1

    def stop(self, grace_s: float, hurry: Callable[[], bool]) -> None:
        """SIGTERM to every main process, then SIGKILL to every group after `grace_s` or when `hurry()`."""
        for member in self.members:
            member.signal(signal.SIGTERM)
        until = time.monotonic() + grace_s
        while any(member.is_alive for member in self.members) and time.monotonic() < until and not hurry():
            time.sleep(0.05)
        for member in self.members:
            member.kill_group()
