"""Importing rows: every format with awkward content, and the errors a researcher meets."""

import hashlib
import json
import shutil
from collections import namedtuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workers.engine.datasets.importing import dataset_import
from workers.engine.datasets.rows import Rows
from workers.engine.progress import Progress
from workers.engine.specs.datasets import DatasetImportInputs, DatasetImportSpec
from workers.engine.specs.errors import BadArtifact, DiskFull, EngineError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def imported(tmp_path):
    """Import one file and give (result, texts, folder)."""

    def run(path, **wishes):
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        spec = DatasetImportSpec(source="file", path=str(path), **wishes)
        inputs = DatasetImportInputs(job_dir=str(tmp_path), out_dir=str(out), path=str(path))
        result = dataset_import(spec, inputs, Progress())
        texts = [found.text for _, batch in Rows.open(out).text_batches(result.text_column) for found in batch]
        return result, texts, out

    return run


def _file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_txt_has_a_document_per_paragraph(tmp_path, imported):
    content = b"\xef\xbb\xbffirst line\r\nsecond line\r\n\r\n \n<script>alert('x')</script>\n\ncaf\xe9\n\na\0b"
    result, texts, _ = imported(_file(tmp_path, "a.txt", content))
    assert texts == ["first line\nsecond line", "<script>alert('x')</script>", "café", "ab"]
    assert (result.rows, result.undecodable_rows, result.nul_rows) == (4, 1, 1)
    assert result.text_bytes == sum(len(text.encode()) for text in texts)


def test_jsonl_keeps_all_columns_even_when_rows_disagree(tmp_path, imported):
    rows = [{"id": 1, "text": "a"}, {"id": 2.5, "text": "b", "tags": ["x"]}, {"id": "three", "text": None}]
    path = _file(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows) + '\n"bare \\ud83d"\n\n')
    result, texts, out = imported(path)
    assert texts == ["a", "b", "", "bare \ufffd"]
    assert result.columns == ("id", "text", "tags")
    assert Rows.open(out).slice(0, 4).column("tags").to_pylist() == [None, ["x"], None, None]
    assert Rows.open(out).slice(0, 4).column("id").to_pylist() == ["1", "2.5", "three", None]


def test_a_column_that_changes_type_after_many_rows_loses_nothing(tmp_path, imported):
    rows = [{"n": i, "text": str(i)} for i in range(1500)] + [{"n": "x", "text": "late", "new": 1}]
    _, texts, out = imported(_file(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))))
    table = Rows.open(out).slice(0, 2000)
    assert texts == [row["text"] for row in rows]
    assert table.column("n").to_pylist() == [str(row["n"]) for row in rows]
    assert table.column("new").to_pylist() == [None] * 1500 + [1]


def test_a_latin1_line_of_jsonl_does_not_lose_the_import(tmp_path, imported):
    result, texts, _ = imported(_file(tmp_path, "a.jsonl", b'{"text":"ok \xc3\xa9"}\n{"text":"caf\xe9"}\n'))
    assert (texts, result.undecodable_rows) == (["ok é", "café"], 1)


@pytest.mark.parametrize("content", ['[{"text": "a"},\n {"text": "b\\u0000"} ]\n', '{"text": "a"}\n{"text": "b"}'])
def test_json_holds_an_array_or_lines(tmp_path, imported, content):
    assert imported(_file(tmp_path, "a.json", content))[1] == ["a", "b"]


def test_a_json_array_longer_than_the_reading_window_is_read_whole(tmp_path, imported, monkeypatch):
    monkeypatch.setattr("workers.engine.datasets.json_array.CHUNK_CHARACTERS", 7)
    rows = [{"text": "x" * n + "é", "n": 10**n} for n in range(15)]
    path = _file(tmp_path, "a.json", json.dumps(rows, ensure_ascii=False).encode() + b"\n")
    _, texts, out = imported(path)
    assert texts == [row["text"] for row in rows]
    assert Rows.open(out).slice(0, 20).column("n").to_pylist() == [row["n"] for row in rows]


def test_a_latin1_string_in_a_json_array_is_kept(tmp_path, imported):
    result, texts, _ = imported(_file(tmp_path, "a.json", b'[{"text":"caf\xe9"}, {"text":"\xc3\xa9"}]'))
    assert (texts, result.undecodable_rows) == (["café", "é"], 1)


def test_csv_keeps_quotes_newlines_and_bad_bytes(tmp_path, imported):
    content = b'id;text\n1;"a ; ""b""\nc"\n2;caf\xe9\n3;nul\0l\n4\n'
    result, texts, out = imported(_file(tmp_path, "a.csv", content))
    assert texts == ['a ; "b"\nc', "café", "null", ""]
    assert Rows.open(out).slice(0, 9).column("id").to_pylist() == ["1", "2", "3", "4"]
    assert (result.undecodable_rows, result.nul_rows) == (1, 1)


def test_parquet_keeps_binary_image_and_nested_columns(tmp_path, imported):
    table = pa.table(
        {
            "image": [{"bytes": PNG, "path": "x.png"}] * 3,
            "text": pa.array([b"caf\xe9", "naïve".encode(), None], pa.binary()),
            "nested": [[{"a": 1}], [], None],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    result, texts, out = imported(tmp_path / "a.parquet")
    assert (texts, result.undecodable_rows, result.text_column) == (["café", "naïve", ""], 1, "text")
    assert Rows.open(out).slice(0, 3).to_pylist() == table.to_pylist()


def test_string_columns_with_bytes_that_are_no_utf8_are_read(tmp_path, imported):
    bad = pa.array([b"caf\xe9", b"ok"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
    result, texts, _ = imported(tmp_path / "a.parquet")
    assert (texts, result.undecodable_rows) == (["café", "ok"], 1)


def test_rows_keep_their_order_over_parts_and_pages(tmp_path, imported):
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(25_001)]}), tmp_path / "a.parquet")
    _, texts, out = imported(tmp_path / "a.parquet", row_cap=None)
    assert texts == [f"row {i}" for i in range(25_001)]
    assert [path.name for path in Rows.open(out).paths] == [f"part-{n:05d}.parquet" for n in range(3)]
    assert pq.ParquetFile(out / "rows" / "part-00000.parquet").num_row_groups == 10
    page = Rows.open(out).slice(9_990, 20).column("text").to_pylist()
    assert page == [f"row {i}" for i in range(9_990, 10_010)]
    assert len(Rows.open(out).slice(25_000, 20)) == 1 and len(Rows.open(out).slice(30_000, 20)) == 0


def test_a_folder_of_files_is_read_in_order_of_names(tmp_path, imported):
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("b", "a", "c"):
        pq.write_table(pa.table({"text": [name]}), folder / f"{name}.parquet")
    assert imported(folder)[1] == ["a", "b", "c"]


def test_the_row_cap_stops_within_a_batch(tmp_path, imported):
    result, texts, _ = imported(_file(tmp_path, "a.txt", "\n\n".join(map(str, range(50)))), row_cap=7)
    assert (result.rows, texts) == (7, [str(i) for i in range(7)])


def test_the_content_hash_is_over_lengths_and_texts(tmp_path, imported):
    result, texts, _ = imported(_file(tmp_path, "a.txt", "ab\n\nc\n\né"))
    pieces = b"".join(len(t.encode()).to_bytes(8, "little") + t.encode() for t in texts)
    assert result.content_sha256 == hashlib.sha256(pieces).hexdigest()
    assert imported(_file(tmp_path, "b.txt", "a\n\nbc\n\né"))[0].content_sha256 != result.content_sha256


@pytest.mark.parametrize(
    ("columns", "wanted", "chosen"),
    [
        (["title", "text"], "title", "title"),
        (["title", "content", "text"], "", "text"),
        (["title", "content"], "", "content"),
        (["number", "title"], "", "title"),
    ],
)
def test_the_text_column_is_chosen_in_order(tmp_path, imported, columns, wanted, chosen):
    table = pa.table({name: [1] if name == "number" else [name] for name in columns})
    pq.write_table(table, tmp_path / "a.parquet")
    result, texts, _ = imported(tmp_path / "a.parquet", text_column=wanted)
    assert (result.text_column, texts) == (chosen, [chosen])


def test_conversations_are_noted_and_identifiers_warned_of(tmp_path):
    pq.write_table(
        pa.table({"doc_id": ["1"], "messages": [[{"role": "user", "content": "a"}]]}), tmp_path / "a.parquet"
    )
    (tmp_path / "out").mkdir()
    progress = Progress()
    spec = DatasetImportSpec(source="file", path="a", text_column="doc_id")
    inputs = DatasetImportInputs(job_dir="", out_dir=str(tmp_path / "out"), path=str(tmp_path / "a.parquet"))
    dataset_import(spec, inputs, progress)
    notes = " ".join(line["text"] for line in progress.lines if line["t"] == "event")
    assert "identifier" in notes and "messages" in notes


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.parquet", PNG, "no Parquet"),
        ("a.csv", PNG, "PNG image"),
        ("a.txt", "x".encode("utf-16"), "UTF-16"),
        ("a.jsonl", '{"text": "a"}\n\n{"text": }\n', "line 3"),
        ("a.jsonl", '{"text": "a"}\n[1]\n', "line 2"),
        ("a.json", '[{"text": "a"},\n{"text": "b"}\n', "line 3"),
        ("a.json", '[{"text": "a"},\n{"text" "b"}]\n', "line 2"),
        ("a.csv", "text\na,b,c\n", "line 2"),
        ("a.csv", "text,text\na,b\n", "twice"),
    ],
)
def test_files_that_are_not_what_they_say_are_refused_with_the_place(tmp_path, imported, name, content, words):
    with pytest.raises(BadArtifact, match=words) as caught:
        imported(_file(tmp_path, name, content))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "wishes", "code"),
    [
        ("a.txt", "\n \n", {}, "empty_dataset"),
        ("a.json", "[]", {}, "empty_dataset"),
        ("a.csv", "", {}, "empty_dataset"),
        ("a.jsonl", '{"n": 1}', {}, "no_text_column"),
        ("a.jsonl", '{"text": "a"}', {"text_column": "body"}, "column_not_found"),
        ("a.jsonl", '{"text": "a", "n": 1}', {"text_column": "n"}, "column_not_text"),
        ("a.docx", "x", {}, "unsupported_format"),
    ],
)
def test_what_cannot_be_imported_has_a_code_and_a_hint(tmp_path, imported, name, content, wishes, code):
    with pytest.raises(EngineError) as caught:
        imported(_file(tmp_path, name, content), **wishes)
    assert caught.value.code == code and caught.value.hint


def test_a_missing_path_and_a_mixed_folder_are_refused(tmp_path, imported):
    with pytest.raises(EngineError, match="There is no file"):
        imported(tmp_path / "nowhere.txt")
    folder = tmp_path / "mixed"
    folder.mkdir()
    _file(folder, "a.txt", "a")
    _file(folder, "b.csv", "b")
    with pytest.raises(EngineError, match="several kinds"):
        imported(folder)


def test_a_missing_column_names_those_that_exist(tmp_path, imported):
    with pytest.raises(EngineError) as caught:
        imported(_file(tmp_path, "a.jsonl", '{"body": "a", "n": 1}'), text_column="text")
    assert "body (string)" in caught.value.hint and "n (int64)" in caught.value.hint


def test_a_nearly_full_disk_stops_the_import(tmp_path, imported, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("workers.engine.disk.shutil.disk_usage", lambda path: usage(10, 10, 0))
    with pytest.raises(DiskFull):
        imported(_file(tmp_path, "a.txt", "text"))
