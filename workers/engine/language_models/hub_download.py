"""A language model from the Hugging Face Hub: configuration, tokenizer and safetensors files, nothing else.

huggingface_hub reads the access token from the environment (HF_TOKEN) by itself. Files arrive in a folder that outlives
the attempt, so a retry goes on where the last one ended.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from tqdm.auto import tqdm

from workers.engine.disk import disk_require
from workers.engine.hub import hub_errors
from workers.engine.language_models.hashing import files_sha256
from workers.engine.language_models.model_files import decoder_only_check, files_check, files_kept
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hub_ids import hub_id


@dataclass(frozen=True)
class HubModel:
    """What the Hub says of a model before any weight is downloaded."""

    repo_id: str
    revision: str
    licence: str
    sizes: dict[str, int]
    """Bytes of each file that is kept."""
    gated: bool = False
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the large files among them, as the Hub knows it."""


def hub_download(repo_id: str, revision: str, target: str | Path, keep_dir: str | Path, progress: Progress) -> HubModel:
    """Download the model's files into `target`, by way of `keep_dir`. Progress counts bytes.

    Architecture and disk space are checked before any weight is asked for. Raises EngineError with the codes of
    `hub_errors`, `files_check` and `decoder_only_check`, "wrong_checksum" for weights that arrived damaged.
    """
    repo_id, keep_dir = hub_id(repo_id), Path(keep_dir)
    progress.phase("Asking the Hub")
    with hub_errors(repo_id, "language model"):
        model = hub_model(repo_id, revision)
        arrived = {"repo_id": repo_id, "revision": model.revision, "local_dir": keep_dir}
        snapshot_download(**arrived, allow_patterns="config.json")
        decoder_only_check(keep_dir)
        total = sum(model.sizes.values())
        disk_require(keep_dir, total)
        progress.phase("Downloading", total, "bytes")
        bar = _bar_class(lambda: progress.reach(min(_bytes_in(keep_dir), total)))
        snapshot_download(**arrived, allow_patterns=list(model.sizes), tqdm_class=bar)
    _checksums_check(model, keep_dir, progress)
    for name in model.sizes:
        shutil.move(keep_dir / name, Path(target) / name)
    shutil.rmtree(keep_dir)
    return model


def hub_model(repo_id: str, revision: str) -> HubModel:
    """Ask the Hub for commit, licence and file sizes; whether the repository may be read shows here first."""
    found = HfApi().model_info(repo_id, revision=revision or None, files_metadata=True)
    names = [file.rfilename for file in found.siblings or []]
    files_check(names, repo_id)
    kept = set(files_kept(names))
    licence = (found.card_data.get("license") if found.card_data else None) or ""
    files = [file for file in found.siblings or [] if file.rfilename in kept]
    return HubModel(
        repo_id=repo_id,
        revision=found.sha or revision,
        licence=", ".join(licence) if isinstance(licence, list) else str(licence),
        sizes={file.rfilename: file.size or 0 for file in files},
        gated=bool(found.gated),
        checksums={file.rfilename: file.lfs.sha256 for file in files if file.lfs},
    )


def _checksums_check(model: HubModel, keep_dir: Path, progress: Progress) -> None:
    """Remove the first damaged file and say so; the others stay for the next try. Progress counts bytes."""
    progress.phase("Checking", sum(model.sizes[name] for name in model.checksums), "bytes")
    for name, wanted in model.checksums.items():
        if files_sha256([keep_dir / name], progress) == wanted:
            continue
        (keep_dir / name).unlink()
        raise EngineError(
            f"{name} arrived damaged: its SHA-256 is not the one the Hub names. The file was removed.",
            "Start the import again: only this file is fetched anew.",
            code="wrong_checksum",
        )


def _bar_class(arrived: Callable[[], None]) -> type[tqdm]:
    """A progress bar that draws nothing and calls `arrived` whenever huggingface_hub would move it.

    What it is told is not used: huggingface_hub opens several bars, which count files, bytes received and bytes written.
    """

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **(kwargs | {"disable": False}))

        def display(self, *args: Any, **kwargs: Any) -> None:
            """Nothing is drawn."""

        def update(self, n: float | None = 1) -> bool | None:
            arrived()
            return super().update(n)

    return Bar


def _bytes_in(folder: Path) -> int:
    """Bytes of finished and unfinished files below `folder`, without huggingface_hub's own notes."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a finished file is renamed at any moment
            if path.is_file() and path.suffix not in (".metadata", ".lock"):
                total += path.stat().st_size
    return total
