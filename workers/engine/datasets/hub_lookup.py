"""What the Hub says of a dataset before an import: licence, configurations, splits, sizes, first rows.

The first rows are streamed with ranged reads: no data file is downloaded whole.
"""

from itertools import islice
from typing import Any

import datasets
import pyarrow as pa

from workers.engine.datasets.column_names import table_named
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
from workers.engine.datasets.hub_source import STREAM_ROWS, stream_open
from workers.engine.datasets.rows import column_texts
from workers.engine.datasets.schemas import RowTables
from workers.engine.datasets.text_column import is_conversation, text_column_choose
from workers.engine.datasets.type_changes import TypeChanges
from workers.engine.progress import Progress
from workers.engine.specs.datasets import DatasetLookupInputs, DatasetLookupResult, DatasetLookupSpec, SplitSize
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hub_ids import hub_id
from workers.engine.text.decoding import safe_text
from workers.engine.waiting import waited

SHOWN_ROWS = 5
SHOWN_CHARACTERS = 300


def dataset_lookup(spec: DatasetLookupSpec, inputs: DatasetLookupInputs, progress: Progress) -> DatasetLookupResult:
    """Ask the Hub about one configuration and split. Raises EngineError: gated, unknown_repository, unknown_revision,
    unknown_config, unknown_split, no_data_files, dataset_script, offline; Transient when the network fails."""
    progress.phase("Asking the Hub")
    return waited(lambda: _look(spec), lambda: progress.advance(0))


def _look(spec: DatasetLookupSpec) -> DatasetLookupResult:
    repo_id = hub_id(spec.repo_id)
    with dataset_errors(repo_id):
        repository = hub_repository(repo_id, spec.revision)
        configs, config = _configs(repository, spec.config)
        builder = builder_open(repository, config)
        files = split_files(builder, repository)
        splits = _splits(builder, repository, files)
        split = _split(repo_id, list(files), spec.split)
        rows = _first_rows(builder, split, repo_id)
    column, talks, per_row = _text_column(rows)
    return DatasetLookupResult(
        repo_id=repo_id,
        revision=repository.revision,
        licence=repository.licence,
        gated=repository.gated,
        configs=configs,
        config=config if len(configs) > 1 else "",
        splits=splits,
        split=split,
        bytes=sum(one.bytes or 0 for one in splits),
        columns=tuple(rows.column_names),
        column_types=tuple(str(kind) for kind in rows.schema.types),
        text_column=column,
        is_conversation=talks,
        first_rows=tuple(_row_texts(rows, row) for row in range(min(SHOWN_ROWS, len(rows)))),
        text_bytes_per_row=per_row,
    )


def _configs(repository: HubRepository, wanted: str) -> tuple[tuple[str, ...], str]:
    """All configurations, and the wanted one, the default, or the first."""
    where: dict[str, Any] = {"revision": repository.revision}
    with builder_errors(repository.repo_id):
        names = datasets.get_dataset_config_names(repository.repo_id, **where)
        default = wanted or datasets.get_dataset_default_config_name(repository.repo_id, **where) or names[0]
    if wanted and wanted not in names:
        raise EngineError(
            f"{repository.repo_id} has no configuration {wanted!r}. Available: {names}.",
            "Choose another.",
            code="unknown_config",
        )
    return tuple(names), default


def _splits(
    builder: datasets.DatasetBuilder, repository: HubRepository, files: dict[str, list[str]]
) -> tuple[SplitSize, ...]:
    return tuple(
        SplitSize(
            name=split,
            rows=split_rows(builder, split),
            bytes=sum(repository.files[name].size for name in names if name in repository.files),
        )
        for split, names in files.items()
    )


def _split(repo_id: str, names: list[str], wanted: str) -> str:
    if wanted and wanted not in names:
        raise unknown_split(repo_id, wanted, names)
    return wanted or ("train" if "train" in names else names[0])


def _first_rows(builder: datasets.DatasetBuilder, split: str, repo_id: str) -> pa.Table:
    stream = stream_open(builder, split, repo_id)
    with file_errors(repo_id):
        tables = [pa.table(t.columns, names=t.column_names) for t in islice(stream.iter(batch_size=STREAM_ROWS), 1)]
    if not tables:
        raise EngineError(f"The split {split!r} of {repo_id} has no rows.", "Choose another.", code="empty_dataset")
    return RowTables(TypeChanges()).plain(table_named(tables[0], repo_id))


def _text_column(rows: pa.Table) -> tuple[str, bool, float]:
    """(name, whether it holds conversations, mean UTF-8 bytes per row); ("", False, 0) when no column holds text."""
    try:
        name = text_column_choose(rows.schema, "")
    except EngineError:
        return "", False, 0.0
    texts = column_texts(rows.column(name).combine_chunks())
    mean = sum(len(found.text.encode("utf-8")) for found in texts) / len(texts)
    return name, is_conversation(rows.schema.field(name).type), mean


def _row_texts(rows: pa.Table, row: int) -> dict[str, Any]:
    return {name: _shown(rows.column(name)[row]) for name in rows.column_names}


def _shown(scalar: pa.Scalar) -> str:
    """Any value as text, cut at 300 characters; what Python cannot hold is named by its type."""
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return f"<{scalar.type}>"
    if isinstance(value, bytes | str):
        return safe_text(value).text[:SHOWN_CHARACTERS]
    return "" if value is None else str(value)[:SHOWN_CHARACTERS]
