"""Rows from a dataset on the Hugging Face Hub, streamed: nothing but the rows that are kept is downloaded.

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

from workers.engine.datasets.source import RowSource
from workers.engine.hub import hub_errors, unknown_repository
from workers.engine.specs.errors import EngineError

STREAM_ROWS = 100
"""Rows taken from the stream at once; few, because a row may hold an image."""


@dataclass(frozen=True)
class HubRepository:
    """What the Hub says of a repository before any row is read."""

    repo_id: str
    revision: str
    licence: str


def hub_source(repo_id: str, config: str, split: str, row_cap: int | None) -> RowSource:
    """Rows of one split. Raises EngineError with the codes of `dataset_errors`, unknown_config, unknown_split."""
    with dataset_errors(repo_id):
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
def dataset_errors(repo_id: str) -> Iterator[None]:
    """What huggingface_hub and datasets raise about a dataset, in words."""
    try:
        with hub_errors(repo_id, "dataset"):
            yield
    except datasets.exceptions.DatasetNotFoundError as error:
        raise unknown_repository(repo_id, "dataset") from error
    except datasets.exceptions.DataFilesNotFoundError as error:
        raise EngineError(
            f"{repo_id} has no files that can be read as rows.", "Choose another dataset.", code="no_data_files"
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
            "Choose a version of the dataset in Parquet.",
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
    with dataset_errors(repo_id):
        for table in stream.iter(batch_size=STREAM_ROWS):
            yield pa.table(table.columns, names=table.column_names)
