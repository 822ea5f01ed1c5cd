"""Files made to harm end in words, soon, and within a bound of memory."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.engine.datasets.imports import file_made, imported_with_log
from workers.engine.datasets import source
from workers.engine.datasets.file_sources import file_source
from workers.engine.specs.errors import BadArtifact, EngineError

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"text": "a", "x": ' + DEEP, "line 1 nests"),
        ("a.json", DEEP, "line 1 nests"),
        ("a.json", '[{"text": "a"},\n{"x": ' + DEEP, "line 2 nests"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b", "n": -%s}' % ("9" * 5000), "line 2 holds a number"),
        ("a.json", '[{"text": "b", "n": %s}]' % ("9" * 5000), "line 1 holds a number"),
        ("a.jsonl", '{"text": "a", "\\ud800": 1, "\\udfff": 2}', "twice"),
        ("a.csv", ",".join(f"c{n}" for n in range(20_000)) + "\n", "20,000 columns"),
        ("a.jsonl", json.dumps({f"c{n}": "x" for n in range(20_000)}), "20,000 columns"),
        ("a.jsonl", "\n".join(json.dumps({f"c{n}": "x", "text": "a"}) for n in range(2_500)), "2,001 columns"),
        ("a.jsonl", '{"text": [%s]}' % ("{}," * 5_000_000), "5,000,000 values"),
    ],
)
def test_text_files_are_refused_with_their_line(tmp_path, name, content, words):
    with pytest.raises(BadArtifact, match=words) as caught:
        imported_with_log(file_made(tmp_path, name, content))
    assert caught.value.hint


@pytest.mark.parametrize("depth", [25, 60, 400, 900])
def test_values_too_deep_for_columns_are_kept_as_json(tmp_path, depth):
    value = json.loads("[" * depth + "]" * depth)
    found = imported_with_log(file_made(tmp_path, "a.jsonl", json.dumps({"text": "a", "x": value})))
    kept = found.column("x")[0]
    for _ in range(23):
        kept = kept[0]
    assert "[" * (depth - 24) in kept[0] and "24 deep" in found.warnings[0]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.json", "a.tsv", "a.parquet"])
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(EngineError, match="pipe") as caught:
        imported_with_log(tmp_path / name)
    assert caught.value.code == "path_no_file"


def test_a_device_is_refused():
    with pytest.raises(EngineError, match="device"):
        file_source("/dev/zero")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "x" * 5000),
        ("a.txt", "x\n" * 5000),
        ("a.csv", "text\n" + "x" * 5000),
        ("a.csv", 'text\n"' + "x\n" * 5000 + '"'),
        ("a.jsonl", json.dumps({"text": "x" * 5000})),
        ("a.json", json.dumps([{"text": "x" * 5000}])),
    ],
)
def test_a_row_that_is_larger_than_the_bound_is_refused(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(source, "MOST_ROW_BYTES", 1000)
    monkeypatch.setattr("workers.engine.datasets.json_array.CHUNK_CHARACTERS", 100)
    with pytest.raises(BadArtifact, match="larger than"):
        imported_with_log(file_made(tmp_path, name, content))


def _repeated(rows):
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 10_000_000]))


def _written(path, **columns):
    pq.write_table(pa.table(columns), path, compression="zstd", dictionary_pagesize_limit=2**30, store_schema=False)
    return path


def test_a_parquet_file_of_some_hundred_bytes_does_not_fill_the_memory(tmp_path):
    """Written out, its first batch alone has 10 GB; a process that may use 1.5 GiB reads it."""
    path = _written(
        tmp_path / "a.parquet",
        text=_repeated(1000),
        list=pa.ListArray.from_arrays(range(1001), _repeated(1000)),
        struct=pa.StructArray.from_arrays([_repeated(1000)], ["inner"]),
    )
    assert path.stat().st_size < 3000
    script = f"""
import resource, sys
from tests.engine.datasets.imports import imported_with_log
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**29,) * 2)
found = imported_with_log(Path({str(path)!r}), row_cap=5)
assert found.result.text_bytes == 50_000_000
assert {{len(text) for text in found.texts}} == {{10_000_000}}
assert found.rows.slice(3, 1).column("list").to_pylist() == [["x" * 10_000_000]]
assert found.rows.slice(3, 1).column("struct").to_pylist() == [{{"inner": "x" * 10_000_000}}]
"""
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stderr[-2000:]


def test_a_parquet_row_beyond_any_memory_is_refused(tmp_path, monkeypatch):
    one_row = pa.ListArray.from_arrays([0, 700], _repeated(700))
    with pytest.raises(BadArtifact, match="row 0 is larger"):
        imported_with_log(_written(tmp_path / "a.parquet", text=["a"], list=one_row))
    monkeypatch.setattr("workers.engine.datasets.parquet_tables.SUSPECT_BYTES", 2**22)
    zeros = pa.ListArray.from_arrays([0, 2**21], pa.array(np.zeros(2**21, "i4")))
    with pytest.raises(BadArtifact, match="stands for 8,388,608"):
        imported_with_log(_written(tmp_path / "b.parquet", text=["a"], list=zeros))


def test_repeated_texts_come_back_as_they_were(tmp_path):
    texts = [None, "", *(f"{'ab' * 400_000} {number % 3}" for number in range(30)), None]
    lists = [None if n % 7 == 0 else [texts[n], None, "é"][: n % 4] for n in range(len(texts))]
    structs = [None if n % 5 == 0 else {"a": texts[n], "b": n} for n in range(len(texts))]
    pq.write_table(
        pa.table({"text": texts, "list": lists, "struct": structs}), tmp_path / "a.parquet", row_group_size=20
    )
    found = imported_with_log(tmp_path / "a.parquet")
    assert (found.column("text"), found.column("list"), found.column("struct")) == (texts, lists, structs)


def test_a_parquet_file_with_bytes_turned_over_ends_in_words_or_in_rows(tmp_path):
    chance = np.random.default_rng(0)
    pq.write_table(pa.table({"text": [f"row {n}" for n in range(500)], "n": range(500)}), tmp_path / "good.parquet")
    good = (tmp_path / "good.parquet").read_bytes()
    for _ in range(60):
        bad = bytearray(good)
        for place in chance.integers(4, len(bad), 3):
            bad[place] ^= 1 << int(chance.integers(8))
        try:
            imported_with_log(file_made(tmp_path, "bad.parquet", bytes(bad)))
        except EngineError as error:
            assert error.message and error.hint
