"""The web process stays small: what importing the ASGI application must not load."""

import os
import subprocess
import sys

HEAVY = ("torch", "transformers", "datasets", "huggingface_hub", "tokenizers", "spacy", "openai", "ollama", "plotly")


def test_the_asgi_application_loads_nothing_heavy(tmp_path):
    code = f"import sys, mistudio_site.asgi; print([name for name in {HEAVY!r} if name in sys.modules])"
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "mistudio_site.settings"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
