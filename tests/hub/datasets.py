"""Small datasets in the Hub's layout, and importing them with the real clients."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workers.engine.datasets.importing import dataset_import
from workers.engine.datasets.rows import Rows
from workers.engine.progress import Progress
from workers.engine.specs.datasets import DatasetImportInputs, DatasetImportSpec

REPO_ID = "tiny/stories"
ROWS = 3_000
"""Rows in each of the two files of the split train."""
TEXTS = [f"row {number} " + f"{number * 7919 % 10_007:x}" * 40 for number in range(2 * ROWS)]


def stories_folder(folder: Path) -> Path:
    """Two configurations; `all` has the splits train (two files) and validation. Its card says licence and rows."""
    for part in range(2):
        _write(folder / f"all/train-{part}.parquet", TEXTS[part * ROWS : (part + 1) * ROWS])
    _write(folder / "all/validation-0.parquet", ["seen", "never"])
    _write(folder / "short/train-0.parquet", ["one"])
    (folder / "README.md").write_text(
        f"""---
license: mit
configs:
- config_name: all
  default: true
  data_files:
  - split: train
    path: all/train-*.parquet
  - split: validation
    path: all/validation-*.parquet
- config_name: short
  data_files: short/*.parquet
dataset_info:
- config_name: all
  splits:
  - name: train
    num_examples: {2 * ROWS}
    num_bytes: {sum(map(len, TEXTS))}
---
Stories.
"""
    )
    return folder


def _write(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": texts, "length": [len(text) for text in texts]})
    pq.write_table(table, path, row_group_size=500, compression="none", use_dictionary=False)


def imported(tmp_path: Path, progress: Progress | None = None, **wishes):
    """(result, texts) of an import whose kept folder outlives the call: a second call is the next attempt."""
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spec = DatasetImportSpec(**{"source": "hub", "repo_id": REPO_ID, "row_cap": None, **wishes})
    inputs = DatasetImportInputs(job_dir=str(tmp_path / "job"), out_dir=str(out))
    result = dataset_import(spec, inputs, progress or Progress())
    texts = [found.text for _, batch in Rows.open(out).text_batches(result.text_column) for found in batch]
    return result, texts
