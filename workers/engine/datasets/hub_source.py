"""Rows of one split of a dataset on the Hugging Face Hub.

Streamed: nothing but the rows that are kept is downloaded. Otherwise whole data files come first (hub_files.py) and the
same reader reads them from the disk. Columns of images and audio stay as stored bytes: nothing is decoded. The access
token is taken from the environment by huggingface_hub itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.data_files import DataFilesDict, DataFilesList

from workers.engine.datasets.hub_files import hub_files_download
from workers.engine.datasets.hub_repository import (
    HubRepository,
    builder_errors,
    builder_open,
    dataset_errors,
    file_errors,
    hub_repository,
    split_files,
    split_rows,
    unknown_split,
)
from workers.engine.datasets.kept_rows import KeptRows
from workers.engine.datasets.source import RowSource
from workers.engine.progress import Progress
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.hub_ids import hub_id
from workers.engine.waiting import waited, waited_each

STREAM_ROWS = 100
"""Rows taken from the stream at once; few, because a row may hold an image."""
RESHARD_FILES = 32
"""Up to so many Parquet files, their row groups are known beforehand: a resumed stream starts within a file."""


def hub_source(spec: DatasetImportSpec, kept: KeptRows, progress: Progress) -> RowSource:
    """Rows of the split behind those in `kept`, of the commit that those are from.

    Raises EngineError with the codes of `dataset_errors` and `hub_files_download`, unknown_config, unknown_split.
    """
    progress.phase("Asking the Hub")
    repo_id = hub_id(spec.repo_id)
    with dataset_errors(repo_id):
        repository, builder = waited(
            lambda: _ask(repo_id, kept.revision or spec.revision, spec.config), lambda: progress.advance(0)
        )
        files = split_files(builder, repository)
        if spec.split not in files:
            raise unknown_split(repo_id, spec.split, list(files))
        if not spec.streaming:
            paths = hub_files_download(repository, files[spec.split], kept.folder / "files", progress)
            builder.config.data_files = local_files(spec.split, paths)
        stream = waited(lambda: stream_open(builder, spec.split, repo_id), lambda: progress.advance(0))
    if kept.place is not None:
        stream.load_state_dict(kept.place)
    return RowSource(
        tables=waited_each(_tables(stream, repo_id), progress),
        total_rows=split_rows(builder, spec.split),
        licence=repository.licence,
        revision=repository.revision,
        place=stream.state_dict,
    )


def _ask(repo_id: str, revision: str, config: str) -> tuple[HubRepository, datasets.DatasetBuilder]:
    repository = hub_repository(repo_id, revision)
    return repository, builder_open(repository, config)


def local_files(split: str, paths: list[Path]) -> DataFilesDict:
    """Data files on this disk in the place of those on the Hub."""
    return DataFilesDict({split: DataFilesList([str(path) for path in paths], [()] * len(paths))})


def stream_open(builder: datasets.DatasetBuilder, split: str, repo_id: str) -> datasets.IterableDataset:
    """The split as Arrow tables, read as they are asked for."""
    files: Any = builder.config.data_files
    builder.config.data_files = DataFilesDict({split: files[split]})
    with file_errors(repo_id), builder_errors(repo_id):
        stream = builder.as_streaming_dataset(split)
    if len(files[split]) <= RESHARD_FILES:
        with file_errors(repo_id):
            stream = stream.reshard()
    for name, feature in (stream.features or {}).items():
        if isinstance(feature, datasets.Image | datasets.Audio):
            stream = stream.cast_column(name, type(feature)(decode=False))
    return stream.with_format("arrow")


def _tables(stream: datasets.IterableDataset, repo_id: str) -> Iterator[pa.Table]:
    with dataset_errors(repo_id), file_errors(repo_id):
        for table in stream.iter(batch_size=STREAM_ROWS):
            yield pa.table(table.columns, names=table.column_names)
