"""The one writer of CSV: what programs read back, and what spreadsheets get."""

import csv
import io
import random
import subprocess

import pyarrow as pa
import pyarrow.csv
import pytest
from django.http import QueryDict

from apps.core.csv_tables import csv_pieces, is_for_spreadsheet
from apps.core.errors import AppError

ODD = [
    "=1+1",
    "+x",
    "-x",
    "@x",
    "\tx",
    "\rx",
    "",
    " ",
    '"',
    '""',
    "a,b",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "'=x",
    "é",
    "日本",
    "\ufeffx",
]


def _bytes(columns, rows, **wishes):
    return "".join(csv_pieces(columns, rows, **wishes)).encode()


def _random_rows():
    chance = random.Random(0)
    return [
        ["".join(chance.choices("a\"é,;\t\n\r =+-@'", k=chance.randint(0, 9))) for _ in range(3)] for _ in range(3000)
    ]


@pytest.mark.parametrize("rows", [[[text, text] for text in ODD], _random_rows()])
def test_programs_read_back_every_cell_as_it_was(rows):
    columns = [f"c{place}" for place in range(len(rows[0]))]
    written = _bytes(columns, rows)
    assert not written.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(written.decode(), newline=""), strict=True)) == [columns, *rows]
    table = pa.csv.read_csv(
        io.BytesIO(written),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )
    assert [list(row.values()) for row in table.to_pylist()] == rows


def test_numbers_keep_every_digit_and_nothing_is_an_empty_cell():
    values = [0.1 + 0.2, -1e-300, 2**70, True, None]
    _, row = csv.reader(io.StringIO(_bytes("abcde", [values]).decode()))
    assert row == ["0.30000000000000004", "-1e-300", str(2**70), "True", ""]


def test_a_single_empty_cell_is_a_row():
    assert list(csv.reader(io.StringIO(_bytes(["a"], [[""], ["x"]]).decode()))) == [["a"], [""], ["x"]]


def test_spreadsheets_get_a_byte_order_mark_and_no_formula():
    written = _bytes(["=name", "n"], [[text, -1.5] for text in ODD], for_spreadsheet=True)
    assert written.startswith(b"\xef\xbb\xbf")
    names, *rows = csv.reader(io.StringIO(written.decode("utf-8-sig"), newline=""))
    assert names == ["'=name", "n"]
    shown = [f"'{text}" if text[:1] in tuple("=+-@\t\r") else text for text in ODD]
    assert rows == [[text, "-1.5"] for text in shown]


def test_a_long_table_is_sent_in_pieces_and_read_as_it_is_sent():
    taken = []
    pieces = csv_pieces(["n"], ([taken.append(number) or "x" * 100] for number in range(5000)))
    assert len(next(pieces)) < 40_000 and len(taken) < 500
    assert sum(1 for _ in pieces) > 10


def test_what_it_is_for_is_a_spreadsheet_or_nothing():
    assert is_for_spreadsheet(QueryDict("for=spreadsheet")) and not is_for_spreadsheet(QueryDict(""))
    with pytest.raises(AppError) as caught:
        is_for_spreadsheet(QueryDict("for=excel"))
    assert caught.value.field == "for"


def test_no_other_place_writes_csv():
    found = subprocess.run(
        ["git", "grep", "-lE", r"csv\.(writer|DictWriter)", "--", "apps", "workers"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["apps/core/csv_tables.py"]
