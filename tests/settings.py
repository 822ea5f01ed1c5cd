"""Settings of the tests: a fresh data folder, no network, fast password hashes. DATABASE_URL is honoured for PostgreSQL."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_FOLDER = Path(tempfile.mkdtemp(prefix="mistudio-tests-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
os.environ["DATA_DIR"] = str(_FOLDER)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ALLOWED_HOSTS"] = ""

from mistudio_site.settings import *  # noqa: E402, F403
from mistudio_site.settings import DATA_DIR, DATABASES  # noqa: E402

ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file under the name the studio itself uses: other processes that get this DATA_DIR see the same rows.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "db.sqlite3"}
