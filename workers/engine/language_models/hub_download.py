"""A language model from the Hugging Face Hub: configuration, tokenizer and safetensors files, nothing else.

huggingface_hub reads the access token from the environment (HF_TOKEN) by itself. Files arrive in a folder that outlives
the attempt, so a retry goes on where the last one ended.
"""

import errno
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_url, snapshot_download
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers
from tqdm.auto import tqdm

from workers.engine.disk import disk_require
from workers.engine.hub import hub_errors
from workers.engine.language_models.hashing import files_sha256
from workers.engine.language_models.model_files import decoder_only_check, files_check, files_kept
from workers.engine.progress import Progress
from workers.engine.specs.errors import DiskFull, EngineError
from workers.engine.specs.hub_ids import hub_id

UNFINISHED = ".part"


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


def hub_download(
    repo_id: str,
    revision: str,
    target: str | Path,
    keep_dir: str | Path,
    progress: Progress,
    *,
    quantization: str = "auto",
) -> HubModel:
    """Download the model's files into `target`, by way of `keep_dir`. Progress counts bytes.

    Architecture, whether it can be held as `quantization`, and disk space are checked before any weight is asked for.
    Raises EngineError with the codes of `hub_errors`, `files_check` and `decoder_only_check`, "wrong_checksum" for weights
    that arrived damaged.
    """
    repo_id, keep_dir = hub_id(repo_id), Path(keep_dir)
    progress.phase("Asking the Hub")
    with hub_errors(repo_id, "language model"):
        model = hub_model(repo_id, revision)
        folder = _folder_for(model, keep_dir)
        arrived = {"repo_id": repo_id, "revision": model.revision, "local_dir": folder}
        snapshot_download(**arrived, allow_patterns="config.json")
        decoder_only_check(folder, quantization)
        disk_require(folder, sum(model.sizes.values()) - _bytes_in(folder))
        progress.phase("Downloading", sum(model.sizes.values()), "bytes")
        weights = [name for name in model.checksums if model.sizes[name] <= constants.MAX_HTTP_DOWNLOAD_SIZE]
        others = [name for name in model.sizes if name not in weights]
        snapshot_download(**arrived, allow_patterns=others)
        progress.advance(sum(model.sizes[name] for name in others))
        for name in weights:
            _file_fetch(model, name, folder, progress)
    _checksums_check(model, folder, progress)
    for name in model.sizes:
        shutil.move(folder / name, Path(target) / name)
    shutil.rmtree(keep_dir)
    return model


def _folder_for(model: HubModel, keep_dir: Path) -> Path:
    """Where this commit's files arrive; what arrived of another commit goes."""
    keep_dir.mkdir(parents=True, exist_ok=True)
    for other in keep_dir.iterdir():
        if other.name != model.revision:
            shutil.rmtree(other)
    return keep_dir / model.revision


def _file_fetch(model: HubModel, name: str, folder: Path, progress: Progress) -> None:
    """Fetch one large file, from where an earlier try left it: huggingface_hub itself drops files that came by half."""
    path, part = folder / name, folder / f"{name}{UNFINISHED}"
    if path.exists():
        progress.advance(model.sizes[name])
        return
    with part.open("ab") as file:
        progress.advance(file.tell())
        try:
            http_get(
                hf_hub_url(model.repo_id, name, revision=model.revision),
                file,
                resume_size=file.tell(),
                headers=build_hf_headers(),
                expected_size=model.sizes[name],
                tqdm_class=_bar_class(progress),
            )
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(
                    f"The data disk is full: {name} arrived in part.",
                    "Delete what is no longer needed and start the import again; it goes on from there.",
                ) from error
            raise
    part.rename(path)


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


def _checksums_check(model: HubModel, folder: Path, progress: Progress) -> None:
    """Remove the first damaged file and say so; the others stay for the next try. Progress counts bytes."""
    progress.phase("Checking", sum(model.sizes[name] for name in model.checksums), "bytes")
    for name, wanted in model.checksums.items():
        if files_sha256([folder / name], progress) == wanted:
            continue
        (folder / name).unlink()
        raise EngineError(
            f"{name} arrived damaged: its SHA-256 is not the one the Hub names. The file was removed.",
            "Start the import again: only this file is fetched anew.",
            code="wrong_checksum",
        )


def _bar_class(progress: Progress) -> type[tqdm]:
    """A progress bar that draws nothing and hands on the bytes that huggingface_hub tells it."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **(kwargs | {"disable": False}))

        def display(self, *args: Any, **kwargs: Any) -> None:
            """Nothing is drawn."""

        def update(self, n: float | None = 1) -> bool | None:
            progress.advance(int(n or 0))
            return super().update(n)

    return Bar


def _bytes_in(folder: Path) -> int:
    """Bytes of finished and unfinished files in `folder`."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
