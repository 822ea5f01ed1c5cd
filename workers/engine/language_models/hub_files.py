"""Fetching a model's files from the Hub: configuration, tokenizer and safetensors only, with progress in bytes.

Interrupted downloads go on where they stopped (huggingface_hub keeps partial files). The access token is taken from the
environment by huggingface_hub itself.
"""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.hf_api import ModelInfo
from tqdm.auto import tqdm

from workers.engine.disk import disk_require
from workers.engine.hub import hub_errors, repo_id_of
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError

WANTED = re.compile(r"[^/]+\.(json|txt|model|jinja|safetensors)|LICENSE.*|README\.md")
"""Top-level files only: other formats lie in folders of their own."""


def hub_files_fetch(repository: str, revision: str, target: Path, progress: Progress) -> tuple[str, str]:
    """Download the files a model needs into `target`; returns (licence, commit).

    Raises EngineError with the codes of `hub_errors`, no_safetensors, disk_full.
    """
    repo_id = repo_id_of(repository)
    progress.phase("asking the Hub")
    with hub_errors(repo_id, "model"):
        found = HfApi().model_info(repo_id, revision=revision or None, files_metadata=True)
        files = {f.rfilename: f.size or 0 for f in found.siblings or () if WANTED.fullmatch(f.rfilename)}
        if not any(name.endswith(".safetensors") for name in files):
            raise EngineError(
                f"{repo_id} has no *.safetensors files.",
                "Pickled weights (.bin, .pt) can run code and are refused; choose a model in safetensors.",
                code="no_safetensors",
            )
        total = sum(files.values())
        disk_require(target, total)
        progress.phase("downloading", total, "bytes")
        done = 0
        for name, size in files.items():
            hf_hub_download(
                repo_id, name, revision=found.sha, local_dir=target, tqdm_class=_reporting(progress, done, name)
            )
            done += size
            progress.reach(done, name)
    return _licence(found), found.sha or ""


def _reporting(progress: Progress, before: int, name: str) -> type[tqdm]:
    """A tqdm that draws nothing and hands a file's bytes to `progress` as they arrive."""

    class Bytes(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})
            self._arrived = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self._arrived += int(n or 0)
            progress.reach(before + self._arrived, name)
            return None

    return Bytes


def _licence(found: ModelInfo) -> str:
    licence = (found.card_data.get("license") if found.card_data else None) or ""
    return ", ".join(licence) if isinstance(licence, list) else str(licence)
