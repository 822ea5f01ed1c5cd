"""Rows that do not agree on a column's type: the column keeps its meaning, and the job's log names the row."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.engine.datasets.imports import file_made, imported_with_log

PARTS = [{"type": "text", "text": "one"}, {"type": "image", "url": "x.png"}, {"type": "text", "text": "two"}]

IN_PARTS = {"messages": [{"role": "user", "content": PARTS}]}


def _talk(content, who="role", what="content"):
    return {"messages": [{who: "user", what: content}, {who: "assistant", what: "yes"}]}


def _lines(rows):
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize("place", [0, 1, 999, 1000, 1999])
def test_one_content_in_parts_is_joined_and_the_column_stays_conversations(tmp_path, place):
    rows = [_talk(f"plain {number}") for number in range(2000)]
    rows[place] = _talk(PARTS)
    rows[(place + 600) % 2000] = _talk(None)
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    assert found.result.is_conversation and found.result.text_column == "messages"
    said = [f"plain {number}" for number in range(2000)]
    said[place], said[(place + 600) % 2000] = "one\ntwo", None
    spoken = ["" if words is None else f"<|user|>\n{words}\n" for words in said]
    assert found.texts == [f"{words}<|assistant|>\nyes\n" for words in spoken]
    assert f"row {place:,}" in " ".join(found.warnings)


def test_content_that_is_always_in_parts_is_joined_without_a_warning(tmp_path):
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines([IN_PARTS] * 3)))
    assert found.texts == ["<|user|>\none\ntwo\n"] * 3
    assert found.warnings == []


def test_other_forms_of_conversations_in_one_column_are_read_as_such(tmp_path):
    rows = [_talk("a"), _talk("b", "from", "value"), {"messages": ["c", "yes"]}, {"messages": "d"}]
    rows += [{"messages": {"role": "user", "content": "e"}}, {"messages": []}, {"messages": None}]
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    answered = [f"<|user|>\n{word}\n<|assistant|>\nyes\n" for word in "abc"]
    assert found.texts == [*answered, "<|user|>\nd\n", "<|user|>\ne\n", "", ""]


def test_files_of_one_folder_that_differ_keep_conversations_too(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([_talk("a")] * 3), folder / "a.parquet")
    pq.write_table(pa.Table.from_pylist([IN_PARTS] * 2), folder / "b.parquet")
    found = imported_with_log(folder)
    assert found.texts[2:4] == ["<|user|>\na\n<|assistant|>\nyes\n", "<|user|>\none\ntwo\n"]
    assert "row 3," in found.warnings[0]


def test_a_text_that_is_something_else_once_is_stored_as_text_and_told_with_its_row(tmp_path):
    rows = [{"text": f"row {number}"} for number in range(1500)]
    rows[1200], rows[1300] = {"text": 5}, {"text": PARTS}
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    assert (found.texts[1199:1202], found.texts[1300]) == (["row 1199", "5", "row 1201"], "one\ntwo")
    assert len(found.warnings) == 1 and "row 1,200," in found.warnings[0]


def test_a_missing_text_that_was_written_as_nan_is_no_text(tmp_path):
    assert imported_with_log(file_made(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": NaN}')).texts == ["a", ""]


def test_only_the_part_of_an_object_that_differs_becomes_text(tmp_path):
    rows = [{"text": "a", "about": {"n": 1, "tags": ["x"]}}, {"text": "b", "about": {"n": "many", "tags": ["y"]}}]
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    assert found.column("about") == [{"n": "1", "tags": ["x"]}, {"n": "many", "tags": ["y"]}]


def test_whole_numbers_that_no_column_of_numbers_holds_keep_their_digits(tmp_path):
    rows = [{"text": "a", "n": 1}, {"text": "b", "n": 2**70}]
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    assert found.column("n") == ["1", str(2**70)]
    assert "64 bits" in found.warnings[0] and "row 1," in found.warnings[1]


@pytest.mark.parametrize("late", [1, 1500])
def test_objects_without_keys_hold_nothing_until_one_has_a_key(tmp_path, late):
    rows = [{"text": "a", "about": {}, "list": [{}]}] * late
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    assert found.column("about") == [None] * late
    found = imported_with_log(file_made(tmp_path, "b.jsonl", _lines([*rows, {"text": "b", "about": {"n": 1}}])))
    assert found.column("about")[-1] == {"n": 1}
    assert found.warnings == []


def test_objects_whose_keys_are_values_become_json(tmp_path):
    rows = [{"text": "a", "counts": {f"word {row} {n}": n for n in range(100)}} for row in range(50)]
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    assert [json.loads(value) for value in found.column("counts")] == [row["counts"] for row in rows]


def test_a_better_named_column_that_comes_late_does_not_take_the_texts_place(tmp_path):
    rows = [{"body": f"row {number}"} for number in range(1500)] + [{"body": "last", "text": "late"}]
    found = imported_with_log(file_made(tmp_path, "a.jsonl", _lines(rows)))
    assert found.result.text_column == "body" and found.texts[-1] == "last"


def test_columns_of_json_text_in_parquet_are_read_as_values(tmp_path):
    values = ['"plain"', json.dumps(PARTS), "null", '"é"', "{broken"]
    text = pa.ExtensionArray.from_storage(pa.json_(), pa.array(values))
    pq.write_table(pa.table({"text": text, "n": range(5)}), tmp_path / "a.parquet")
    found = imported_with_log(tmp_path / "a.parquet")
    assert found.texts == ["plain", "one\ntwo", "", "é", "{broken"]
    assert found.column("n") == list(range(5))
