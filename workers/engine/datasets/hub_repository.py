"""What the Hub says of a dataset before any row is read: commit, licence, files, configurations and splits."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import datasets
import pyarrow as pa
from huggingface_hub import HfApi

from workers.engine.hub import hub_errors, unknown_repository
from workers.engine.specs.errors import BadArtifact, EngineError

# The library would sleep for minutes before it gives up; here the job queue tries again, and what arrived is kept.
datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 3
datasets.config.STREAMING_READ_RETRY_INTERVAL = datasets.config.STREAMING_OPEN_RETRY_INTERVAL = 1
datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 2
datasets.config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 5

BUILDER_ERRORS = {
    "split": ("unknown_split", "has no such split.", "Choose another."),
    "config": ("unknown_config", "needs the name of a configuration.", "Fill in one of them."),
}


@dataclass(frozen=True)
class HubFile:
    """One file: bytes, and the SHA-256 of its content where the Hub knows it (large files)."""

    size: int
    sha256: str = ""


@dataclass(frozen=True)
class HubRepository:
    """One commit of a dataset repository."""

    repo_id: str
    revision: str
    licence: str
    gated: bool = False
    files: dict[str, HubFile] = field(default_factory=dict)


def hub_repository(repo_id: str, revision: str = "") -> HubRepository:
    """Ask the Hub; an unknown repository or revision, or a gated one without access, shows here first."""
    found = HfApi().dataset_info(repo_id, revision=revision or None, files_metadata=True)
    if found.gated:
        HfApi().auth_check(repo_id, repo_type="dataset")
    licence = (found.card_data.get("license") if found.card_data else None) or ""
    return HubRepository(
        repo_id=repo_id,
        revision=found.sha or revision,
        licence=", ".join(licence) if isinstance(licence, list) else str(licence),
        gated=bool(found.gated),
        files={f.rfilename: HubFile(f.size or 0, f.lfs.sha256 if f.lfs else "") for f in found.siblings or []},
    )


def builder_open(repository: HubRepository, config: str) -> datasets.DatasetBuilder:
    """The library's reader of one configuration. Raises EngineError unknown_config, dataset_script, no_data_files."""
    with builder_errors(repository.repo_id):
        return datasets.load_dataset_builder(repository.repo_id, config or None, revision=repository.revision or None)


def split_files(builder: datasets.DatasetBuilder, repository: HubRepository) -> dict[str, list[str]]:
    """Split → paths of its data files in the repository."""
    start = f"@{repository.revision}/"
    files = builder.config.data_files or {}
    return {split: [str(path).split(start, 1)[-1] for path in paths] for split, paths in files.items()}


def unknown_split(repo_id: str, split: str, available: list[str]) -> EngineError:
    """The refusal of a split that is not there."""
    return EngineError(
        f"{repo_id} has no split {split!r}. Available: {available}.", "Choose another.", code="unknown_split"
    )


def split_rows(builder: datasets.DatasetBuilder, split: str) -> int | None:
    """Rows as the repository's card says, None where it does not."""
    splits: dict[str, Any] = builder.info.splits or {}
    return (splits[split].num_examples or None) if split in splits else None


@contextmanager
def dataset_errors(repo_id: str) -> Iterator[None]:
    """What huggingface_hub and datasets raise about a dataset, in words."""
    try:
        with hub_errors(repo_id, "dataset"):
            yield
    except datasets.exceptions.DatasetNotFoundError as error:
        raise unknown_repository(repo_id, "dataset") from error
    except (datasets.exceptions.DataFilesNotFoundError, datasets.data_files.EmptyDatasetError) as error:
        raise EngineError(
            f"{repo_id} has no files that can be read as rows.", "Choose another dataset.", code="no_data_files"
        ) from error


@contextmanager
def builder_errors(repo_id: str) -> Iterator[None]:
    """What the library says of configurations, splits and scripts, in words."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        for word, (code, message, hint) in BUILDER_ERRORS.items():
            if word in text.lower():
                raise EngineError(f"{repo_id} {message} {_available(text)}", hint, code=code) from error
        raise
    except RuntimeError as error:
        if "scripts" not in str(error):
            raise
        raise EngineError(
            f"{repo_id} is read by a script of its own, which is never run here.",
            "Choose a version of the dataset in Parquet.",
            code="dataset_script",
        ) from error


@contextmanager
def file_errors(repo_id: str) -> Iterator[None]:
    """What the libraries behind `datasets` say of a file that they cannot read, in words."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, RecursionError) as error:
        raise BadArtifact(
            f"A file of {repo_id} cannot be read: {str(error)[:300]}",
            "Choose another revision or configuration; or download the file, correct it and import it from here.",
        ) from error
    except datasets.exceptions.DatasetGenerationError as error:
        raise BadArtifact(
            f"A file of {repo_id} cannot be read: {str(error.__cause__ or error)[:300]}",
            "Choose another revision or configuration; or download the file, correct it and import it from here.",
        ) from error


def _available(text: str) -> str:
    """The part of the library's message that lists what there is."""
    found = re.search(r"(?:[Aa]vailable|pick one)[^\[]*(\[.*\])", text, re.DOTALL)
    return f"Available: {found[1]}." if found else ""
