"""A real browser against a real server: daphne in its own process on the test database, Debian's Chromium by Playwright."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

CHROMIUM = Path("/usr/bin/chromium")
READY_WITHIN_S = 60


class Server:
    """daphne on a port of its own; it can be killed and started again."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [
            sys.executable,
            "-m",
            "daphne",
            "-b",
            "127.0.0.1",
            "-p",
            str(self.port),
            "mistudio_site.asgi:application",
        ]
        with (settings.DATA_DIR / "logs" / "daphne-test.log").open("ab") as log:
            self.child = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.answers():
            assert self.child.poll() is None and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)

    def environment(self) -> dict[str, str]:
        """The same data folder, keys and database as this process."""
        known = {**os.environ, "DATA_DIR": str(settings.DATA_DIR), "DJANGO_SETTINGS_MODULE": "mistudio_site.settings"}
        if connection.vendor == "postgresql":
            known["DATABASE_URL"] = (
                os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{connection.settings_dict['NAME']}"
            )
        return known

    def answers(self) -> bool:
        """Whether anything is answered over HTTP."""
        try:
            urllib.request.urlopen(f"{self.url}/health/", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it without warning."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None


@pytest.fixture(scope="session")
def session_server(django_db_setup) -> Iterator[Server]:
    """One server for the whole session: tests come and go, the database stays."""
    running = Server()
    yield running
    running.kill()


@pytest.fixture
def server(session_server, transactional_db) -> Server:
    """A running server on the test database; a test may kill it."""
    if session_server.child is None:
        session_server.start()
    return session_server


@pytest.fixture(scope="package")
def chromium():
    """One Chromium for all browser tests; without it they are skipped, on CI they fail.

    Playwright's loop runs in this thread until the end of this folder: asyncio's own tests cannot run beside it.
    """
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch:
        # Django sees Playwright's loop and would refuse the tests' own queries.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield browser
            browser.close()


@pytest.fixture
def page(chromium, server, client_in):
    """A page of a signed-in browser; `page.goto("/jobs/")`. JavaScript errors fail the test."""
    context = chromium.new_context(base_url=server.url, viewport={"width": 1280, "height": 800})
    session = client_in.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": server.url}])
    shown = context.new_page()
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    yield shown
    context.close()
    assert errors == []
