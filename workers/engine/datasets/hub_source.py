"""Rows from a data set on the Hugging Face Hub, streamed: nothing but the rows that are kept is downloaded.

Columns of images and audio stay as stored bytes: nothing is decoded. The access token is taken from the environment by
huggingface_hub itself.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow as pa
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from workers.engine.datasets.source import RowSource
from workers.engine.specs.errors import EngineError, Transient

STREAM_ROWS = 100
"""Rows taken from the stream at once; few, because a row may hold an image."""
PAGE_ADDRESS = re.compile(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/")


@dataclass(frozen=True)
class HubRepository:
    """What the Hub says of a repository before any row is read."""

    repo_id: str
    revision: str
    licence: str


def repo_id_of(text: str) -> str:
    """ "owner/name" from an id or from the pasted address of a page of the data set."""
    path = PAGE_ADDRESS.sub("", text.strip()).split("?")[0].split("#")[0]
    parts = [part for part in path.removeprefix("datasets/").split("/") if part]
    for page in ("tree", "viewer", "blob", "resolve", "discussions"):
        if page in parts[1:]:
            parts = parts[: parts.index(page, 1)]
    return "/".join(parts)


def hub_source(repo_id: str, config: str, split: str, row_cap: int | None) -> RowSource:
    """Rows of one split. Raises EngineError with the codes of `hub_errors`, unknown_config, unknown_split."""
    with hub_errors(repo_id):
        repository = hub_repository(repo_id)
        stream = _stream_open(repository, config, split)
    total = _split_rows(stream, split)
    if row_cap is not None:
        stream = stream.take(row_cap)
        total = min(total, row_cap) if total is not None else row_cap
    return RowSource(
        tables=_tables(stream, repo_id), total_rows=total, licence=repository.licence, revision=repository.revision
    )


def hub_repository(repo_id: str) -> HubRepository:
    """Ask the Hub for revision and licence; whether the repository may be read shows here first."""
    found = HfApi().dataset_info(repo_id)
    licence = (found.card_data.get("license") if found.card_data else None) or ""
    return HubRepository(repo_id, found.sha or "", ", ".join(licence) if isinstance(licence, list) else str(licence))


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn what huggingface_hub and datasets raise into words; network trouble is transient."""
    try:
        yield
    except GatedRepoError as error:
        raise EngineError(
            f"{repo_id} is gated: its owners ask you to accept their terms.",
            "Accept them on the repository's page and store an access token in the settings.",
            code="gated",
        ) from error
    except (RepositoryNotFoundError, HFValidationError, datasets.exceptions.DatasetNotFoundError) as error:
        raise EngineError(
            f"There is no data set {repo_id!r} on the Hub, or it is private.",
            "Check the id (owner/name); for a private one store an access token in the settings.",
            code="unknown_repository",
        ) from error
    except OfflineModeIsEnabled as error:
        raise EngineError(
            "The Hub cannot be reached: offline mode is on.", "Unset HF_HUB_OFFLINE, or import a file.", code="offline"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        words = f"The Hub answered {status} for {repo_id}."
        is_busy = status is None or status == 429 or status >= 500
        raise EngineError(
            words, "Try again later, or check the access token.", code="hub_refused", transient=is_busy
        ) from error
    except (HTTPError, ConnectionError, TimeoutError) as error:
        raise Transient("The Hub cannot be reached.", "Check the network; the job is tried again.") from error
    except datasets.exceptions.DataFilesNotFoundError as error:
        raise EngineError(
            f"{repo_id} has no files that can be read as rows.", "Choose another data set.", code="no_data_files"
        ) from error


def _stream_open(repository: HubRepository, config: str, split: str) -> datasets.IterableDataset:
    try:
        stream = datasets.load_dataset(
            repository.repo_id, config or None, split=split, streaming=True, revision=repository.revision or None
        )
    except ValueError as error:
        text = str(error)
        if "split" in text.lower():
            raise EngineError(
                f"{repository.repo_id} has no split {split!r}. {_available(text)}",
                "Choose another.",
                code="unknown_split",
            ) from error
        if "config" in text.lower():
            raise EngineError(
                f"{repository.repo_id} needs the name of a configuration. {_available(text)}",
                "Fill in one of them.",
                code="unknown_config",
            ) from error
        raise
    except RuntimeError as error:
        if "scripts" not in str(error):
            raise
        raise EngineError(
            f"{repository.repo_id} is read by a script of its own, which is never run here.",
            "Choose a version of the data set in Parquet.",
            code="dataset_script",
        ) from error
    return _undecoded(stream).with_format("arrow")


def _undecoded(stream: datasets.IterableDataset) -> datasets.IterableDataset:
    for name, feature in (stream.features or {}).items():
        if isinstance(feature, datasets.Image | datasets.Audio):
            stream = stream.cast_column(name, type(feature)(decode=False))
    return stream


def _available(text: str) -> str:
    """The part of the library's message that lists what there is."""
    found = re.search(r"(?:[Aa]vailable|pick one)[^\[]*(\[.*\])", text, re.DOTALL)
    return f"Available: {found[1]}." if found else ""


def _split_rows(stream: datasets.IterableDataset, split: str) -> int | None:
    splits: dict[str, Any] = stream.info.splits or {}
    return splits[split].num_examples if split in splits else None


def _tables(stream: datasets.IterableDataset, repo_id: str) -> Iterator[pa.Table]:
    with hub_errors(repo_id):
        for table in stream.iter(batch_size=STREAM_ROWS):
            yield pa.table(table.columns, names=table.column_names)
