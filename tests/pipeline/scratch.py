"""A studio of its own for a test: a data folder, management commands in it, and the real process tree."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120
"""Before a test gives up on what takes a second on an idle machine."""
MANAGE = [sys.executable, str(ROOT / "manage.py")]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ScratchStudio:
    """Commands and processes on one data folder. `database_url` switches to PostgreSQL."""

    def __init__(self, data_dir: Path, *, database_url: str = "") -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.environment = {
            **{k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": database_url,
            "MISTUDIO_PORT": str(self.port),
            "HF_HUB_OFFLINE": "1",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *arguments: object, check: bool = True, timeout_s: float = 600) -> subprocess.CompletedProcess:
        """Run a management command to its end; its output on a failure is in the assertion."""
        done = subprocess.run(
            [*MANAGE, *[str(a) for a in arguments]],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: object) -> Any:
        """The JSON that a command prints in its last line."""
        return json.loads(self.manage(*arguments, "--json").stdout.strip().splitlines()[-1])

    def start(self) -> "ScratchStudio":
        """Start the process tree on a port of its own and wait until its pages answer and its workers are there."""
        self.log = (self.data_dir / "test-studio.log").open("ab")
        address = self.data_dir / "studio.url"
        address.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*MANAGE, "studio", "--port", "0"],
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            assert self.process.poll() is None, self.output()
            try:
                self.port = int(address.read_text().rpartition(":")[2])
                with urllib.request.urlopen(f"{self.url}/health/", timeout=2) as answer:
                    if answer.status == 200:
                        return self
            except (OSError, ValueError, urllib.error.URLError):
                time.sleep(0.2)
        raise AssertionError(f"the studio did not answer: {self.output()}")

    def output(self) -> str:
        return (self.data_dir / "test-studio.log").read_text()

    def family(self) -> list[psutil.Process]:
        """Every process that works on this data folder: those of the tree, and those that the tree lost."""
        return [process for process in psutil.process_iter() if _data_dir_of(process) == str(self.data_dir)]

    def wait_until_gone(self) -> None:
        """Wait for the end of every process of the tree, as long as a busy machine may need for it."""
        until = time.monotonic() + PATIENCE_S
        while alive := self.family():
            assert time.monotonic() < until, f"still there: {[process.cmdline() for process in alive]}"
            time.sleep(0.1)

    def end(self, number: int = signal.SIGTERM, within_s: float = 15.0) -> float:
        """Signal the main process and wait until the whole tree is gone; returns the seconds it took."""
        family = self.family()
        began = time.monotonic()
        self.process.send_signal(number)
        _, alive = psutil.wait_procs(family, timeout=within_s)
        self.process.wait(timeout=5)
        assert not alive, f"still there after {within_s} s: {[p.cmdline() for p in alive if p.is_running()]}"
        return time.monotonic() - began

    def kill_all(self) -> None:
        """SIGKILL to every process of the tree."""
        for process in self.family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if self.process is not None:
            self.process.wait(timeout=10)

    def entry_url(self) -> str:
        """A fresh one-time sign-in address."""
        return self.json("entry_url")["url"]

    def job(self, pk: int) -> dict[str, Any]:
        return self.json("job", "show", pk)

    def progress(self, pk: int) -> tuple[str, int]:
        """State and done units of a job, read from the SQLite file: quick enough to poll often."""
        with closing(sqlite3.connect(f"file:{self.data_dir / 'db.sqlite3'}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute("select state, done from jobs_job where id = ?", [pk]).fetchone()

    def wait_for_job(self, pk: int, *states: str, within_s: float = 120) -> dict[str, Any]:
        """Poll until the job is in one of the states."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            state, _ = self.progress(pk)
            if state in states:
                return self.job(pk)
            assert state not in ("failed", "cancelled"), self.job(pk)
            time.sleep(0.3)
        raise AssertionError(f"job {pk} did not become {states}: {self.job(pk)}")


def _data_dir_of(process: psutil.Process) -> str:
    """DATA_DIR in the environment of a process; "" for one that has ended or is another user's."""
    try:
        return process.environ().get("DATA_DIR", "")
    except (psutil.Error, OSError):
        return ""


def entry_url_in(text: str) -> str:
    """The one-time address that the studio printed."""
    return re.findall(r"http://\S+/enter/\S+", text)[-1]
