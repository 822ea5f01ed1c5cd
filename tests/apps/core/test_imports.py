"""Processes stay small: what importing the ASGI application, and what a process that shows no page, must not load."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "datasets", "huggingface_hub", "tokenizers", "spacy", "openai", "ollama", "plotly")
OF_PAGES = (
    "daphne",
    "twisted",
    "pyarrow",
    "django.contrib.auth.admin",
    "mistudio_site.urls",
)
SETUP = "import django; django.setup()"
STUDIO = """
import apps.home.management.commands.studio
from django.core.management import call_command
call_command("migrate", verbosity=0)
from apps.core.services import entry_url_make
assert "/enter/" in entry_url_make(base_url="http://localhost")
"""


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import mistudio_site.asgi", HEAVY),
        (f"{SETUP}; import apps.jobs.management.commands.workers", HEAVY + OF_PAGES),
        (f"{SETUP}; import apps.monitoring.management.commands.sampler", HEAVY + OF_PAGES),
        (SETUP + STUDIO, HEAVY + OF_PAGES),
    ],
    ids=["web", "workers", "sampler", "studio"],
)
def test_a_process_loads_only_what_it_needs(tmp_path, code, absent):
    code = f"{code}\nimport sys; print([name for name in {absent!r} if name in sys.modules])"
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "mistudio_site.settings"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
