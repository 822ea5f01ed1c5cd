"""A language model from the Hugging Face Hub: configuration, tokenizer and safetensors files, nothing else.

huggingface_hub reads the access token from the environment (HF_TOKEN) by itself. Files arrive in a folder that outlives
the attempt, so a retry goes on where the last one ended.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url, snapshot_download

from workers.engine.disk import disk_require
from workers.engine.hub import hub_errors
from workers.engine.hub_files import bytes_here, hub_file_fetch
from workers.engine.language_models.hashing import files_sha256
from workers.engine.language_models.model_files import INDEX, decoder_only_check, files_kept, left_out
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
    left_out: str = ""
    """What lies beside the model and is not fetched, in words."""
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
    Raises EngineError with the codes of `hub_errors`, `files_kept` and `decoder_only_check`, "wrong_checksum" for weights
    that arrived damaged.
    """
    repo_id, keep_dir = hub_id(repo_id), Path(keep_dir)
    progress.phase("Asking the Hub")
    with hub_errors(repo_id, "language model"):
        model = hub_model(repo_id, revision)
        if model.left_out:
            progress.event(model.left_out)
        folder = _folder_for(model, keep_dir)
        arrived = {"repo_id": repo_id, "revision": model.revision, "local_dir": folder}
        snapshot_download(**arrived, allow_patterns="config.json")
        decoder_only_check(folder, quantization)
        here = sum(min(bytes_here(folder / name), size) for name, size in model.sizes.items())
        disk_require(folder, sum(model.sizes.values()) - here)
        progress.phase("Downloading", sum(model.sizes.values()), "bytes")
        weights = [name for name in model.checksums if model.sizes[name] <= constants.MAX_HTTP_DOWNLOAD_SIZE]
        others = [name for name in model.sizes if name not in weights]
        snapshot_download(**arrived, allow_patterns=others)
        before = sum(model.sizes[name] for name in others)
        progress.reach(before)
        for name in weights:
            url = hf_hub_url(repo_id, name, revision=model.revision)
            hub_file_fetch(url, folder / name, model.sizes[name], _onto(before, progress))
            before += model.sizes[name]
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


def _onto(before: int, progress: Progress) -> Callable[[int], None]:
    """Tell the bytes of one file as bytes of all: `before` are here already."""
    return lambda arrived: progress.reach(before + arrived)


def hub_model(repo_id: str, revision: str) -> HubModel:
    """Ask the Hub for commit, licence and file sizes; whether the repository may be read shows here first."""
    found = HfApi().model_info(repo_id, revision=revision or None, files_metadata=True)
    commit = found.sha or revision
    files = {file.rfilename: file for file in found.siblings or []}
    kept = files_kept(list(files), repo_id, lambda: _index_fetch(repo_id, commit))
    licence = (found.card_data.get("license") if found.card_data else None) or ""
    return HubModel(
        repo_id=repo_id,
        revision=commit,
        licence=", ".join(licence) if isinstance(licence, list) else str(licence),
        sizes={name: files[name].size or 0 for name in kept},
        left_out=left_out(list(files), kept),
        gated=bool(found.gated),
        checksums={name: files[name].lfs.sha256 for name in kept if files[name].lfs},
    )


def _index_fetch(repo_id: str, revision: str) -> str:
    with TemporaryDirectory() as folder:
        return Path(hf_hub_download(repo_id, INDEX, revision=revision, local_dir=folder)).read_text("utf-8")


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
