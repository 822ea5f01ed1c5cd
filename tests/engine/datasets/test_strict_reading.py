"""CSV, JSON and text are read strictly: what Python's csv module reads in strict mode comes out, all else is an error that
names file and line, and what is only odd is counted."""

import csv
import io
import json
import random

import pytest

from tests.engine.datasets.imports import file_made, imported_with_log
from workers.engine.specs.errors import BadArtifact, EngineError

TEN = [(str(number), f"text {number}") for number in range(10)]


def _csv(rows, quoted=False, delimiter=","):
    return "".join(
        delimiter.join([number, f'"{text}"' if quoted else text]) + "\n" for number, text in [("id", "text"), *rows]
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (_csv(TEN).replace("text 1\n", '"text 1\n'), "line 3"),
        (_csv(TEN).replace("9,text 9", '9,"text 9'), "line 11"),
        (_csv(TEN, quoted=True).replace('"text 4"', '"text 4'), "line 7"),
        (_csv(TEN, quoted=True).replace('"text 9"\n', '"text 9'), "line 11"),
        ('id,text\n1,"a"b\n', "line 2"),
        ("id,text\n1,a\n2,b,c\n", "line 3"),
        ('id,"text\n1,a\n', "line 1"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quote_that_is_not_closed_is_an_error_with_file_and_line(tmp_path, content, line, end):
    with pytest.raises(BadArtifact, match=r"a\.csv.*" + line) as caught:
        imported_with_log(file_made(tmp_path, "a.csv", content.replace("\n", end)))
    assert caught.value.hint


def test_two_quotes_that_swallow_rows_between_them_are_told(tmp_path):
    content = _csv(TEN).replace("text 3", '"text 3').replace("text 5", 'text 5"')
    found = imported_with_log(file_made(tmp_path, "a.csv", content))
    assert found.result.rows == 8
    assert any("look like rows" in words and "line 5" in words for words in found.warnings)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_pythons_csv_module_writes_comes_back(tmp_path, suffix, end):
    chance = random.Random(0)
    values = ["".join(chance.choices('a"é,;\t\n\r \0', k=chance.randint(1, 8))) for _ in range(300)]
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, delimiter="\t" if suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "number"), *((value, number) for number, value in enumerate(values))])
    found = imported_with_log(file_made(tmp_path, f"a{suffix}", file.getvalue()))
    assert found.column("text") == values
    assert found.column("number") == [str(number) for number in range(300)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_text_and_json_may_end_in_any_way(tmp_path, end):
    text = imported_with_log(file_made(tmp_path, "a.txt", f"a{end}b{end}{end}c{end} {end}d"))
    assert text.texts == ["a\nb", "c", "d"]
    lines = imported_with_log(file_made(tmp_path, "a.jsonl", end.join(['{"text": "a"}', '{"text": "b"}', ""])))
    assert lines.texts == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "column", "names"),
    [
        (",text", "text", ["unnamed", "text"]),
        ('"",body', "body", ["unnamed", "body"]),
        (",,body", "body", ["unnamed", "unnamed 2", "body"]),
        (" ,unnamed,body", "body", ["unnamed 2", "unnamed", "body"]),
        ("Unnamed: 0,title", "title", ["Unnamed: 0", "title"]),
        ("__index_level_0__,title", "title", ["__index_level_0__", "title"]),
        ("doc_id,title", "title", ["doc_id", "title"]),
    ],
)
def test_a_column_of_row_numbers_is_not_taken_for_the_text(tmp_path, header, column, names):
    row = ",".join(map(str, range(len(names))))
    found = imported_with_log(file_made(tmp_path, "a.csv", f"{header}\n{row}\n"))
    assert (found.result.text_column, list(found.result.columns)) == (column, names)
    chosen = imported_with_log(file_made(tmp_path, "a.csv", f"{header}\n{row}\n"), text_column=names[0])
    assert chosen.texts == ["0"]


def test_a_file_of_nameless_columns_alone_has_no_text_column(tmp_path):
    with pytest.raises(EngineError) as caught:
        imported_with_log(file_made(tmp_path, "a.csv", '"",""\n1,2\n'))
    assert caught.value.code == "no_text_column" and "unnamed 2" in str(caught.value)


def test_short_rows_and_blank_lines_are_counted(tmp_path):
    found = imported_with_log(file_made(tmp_path, "a.csv", "\nid,text\n1,a\n2\n\n3\n"))
    assert found.texts == ["a", "", ""]
    short, blank = found.warnings
    assert "fewer values" in short and "2 (" in short and "line 4" in short
    assert "Blank lines" in blank and "line 5" in blank


def test_the_delimiter_is_the_one_that_cuts_the_names(tmp_path):
    found = imported_with_log(file_made(tmp_path, "a.csv", '"a;b;c",text\n1,"2;3"\n'))
    assert (found.result.columns, found.texts) == (("a;b;c", "text"), ["2;3"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": "b", "text": "c"}', "line 2 names 'text' twice"),
        ("a.json", '[{"text": "a"}]\n[{"text": "b"}]', "line 2 goes on behind"),
        ("a.json", '[{"text": "a"},\n{"text": "b"}]]', "line 2 goes on behind"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"', "line 2 is not JSON"),
        ("a.jsonl", '{"text": "a\rb"}', "line 1 is not JSON"),
    ],
)
def test_json_that_is_nearly_right_is_refused(tmp_path, name, content, words):
    with pytest.raises(BadArtifact, match=words):
        imported_with_log(file_made(tmp_path, name, content))


def test_names_that_no_file_or_database_holds_are_mended(tmp_path):
    row = json.dumps({"text": "a", "b\0c": 1, "": 2, "\ud800": 3, "in": {"\udfff": 4}})
    found = imported_with_log(file_made(tmp_path, "a.jsonl", row))
    assert found.result.columns == ("text", "bc", "unnamed", "\ufffd", "in")
    assert found.column("in") == [{"\ufffd": 4}]
