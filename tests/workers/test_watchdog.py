"""Processes of a studio hear that it is gone, and none outlives it for longer than the watchdog allows."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from workers.watchdog import LIFELINE, watch_studio

PROGRAM = """
import os, signal, time
from workers import watchdog
signal.signal(signal.SIGTERM, signal.SIG_IGN)
watchdog.ORPHANS_GONE_S = {gone_s}
watchdog.watch_studio()
is_fork = {forks} and os.fork() == 0
print("up", flush=True)
while not watchdog.studio_is_gone():
    time.sleep(0.01)
print("heard", flush=True)
time.sleep(600)
"""


@pytest.fixture(params=[False, True], ids=["alone", "with a fork"])
def begin(request):
    """Start a process of a studio that heeds no signal, and maybe forks: (process, how many they are, what ends the
    studio)."""
    reading, writing = os.pipe()
    started = []

    def start(gone_s: float):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(gone_s=gone_s, forks=request.param)],
            env={**os.environ, LIFELINE: str(reading)},
            pass_fds=[reading],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        for _ in range(1 + request.param):
            assert process.stdout.readline() == "up\n"
        assert process.poll() is None
        return process, 1 + request.param, lambda: os.close(writing)

    yield start
    os.close(reading)
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_all_processes_hear_that_the_studio_is_gone(begin):
    process, count, end_studio = begin(gone_s=600)
    end_studio()
    assert [process.stdout.readline() for _ in range(count)] == ["heard\n"] * count


def test_a_process_that_heeds_nothing_is_killed_with_its_forks(begin):
    process, _, end_studio = begin(gone_s=0)
    end_studio()
    process.stdout.read()  # ends when the last of them is gone
    assert process.wait() == -signal.SIGKILL


def test_outside_a_studio_nothing_is_watched(monkeypatch):
    monkeypatch.delenv(LIFELINE, raising=False)
    watch_studio()
    monkeypatch.setenv(LIFELINE, "987")
    watch_studio()
