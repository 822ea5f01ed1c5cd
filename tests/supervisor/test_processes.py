"""Which process is meant, whatever the clock says and whatever state the process is in."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from workers.supervisor.processes import process_group_kill, process_is, process_started


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_stays_itself_when_the_clock_is_set(sleeper, monkeypatch):
    before = process_started(sleeper.pid)
    told = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: told + 3600)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert process_is(sleeper.pid, before)


def test_a_stopped_process_lives(sleeper):
    started = process_started(sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    assert process_is(sleeper.pid, started)


def test_a_process_that_nobody_waits_for_has_ended(sleeper):
    started = process_started(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not process_is(sleeper.pid, started)
    assert not process_group_kill(sleeper.pid, started)


def test_another_process_with_the_same_pid_is_not_it(sleeper):
    assert not process_is(sleeper.pid, process_started(os.getpid()))
    assert not process_is(sleeper.pid, "")
    assert not process_is(None, process_started(sleeper.pid))
