"""Pages of rows: every value of real data sets is shown, none fails the page."""

import datetime

import pyarrow as pa
import pytest

from apps.datasets.row_search import rows_search
from apps.datasets.rows import PAGE_ROWS, row_whole, rows_between, rows_page
from tests.apps.prepared import make_dataset

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n" + bytes(4000)


def cell_of(column: pa.Array, name: str = "column"):
    dataset = make_dataset(pa.table({name: column}))
    page = rows_page(dataset, 1)
    return page.rows[0].cells[page.columns.index(name)]


def test_the_text_column_comes_first():
    page = rows_page(make_dataset(), 1)
    assert page.columns == ("text", "id")
    assert page.rows[1].cells[0].text == "Call me <b>Ishmael</b>."
    assert page.rows[1].index == 1


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_string_that_is_not_utf8_is_read_as_latin1_and_marked(kind):
    offsets = pa.binary() if kind == pa.string() else pa.large_binary()
    broken = pa.array(["Käse".encode("latin-1")], offsets).view(kind)
    cell = cell_of(broken, "text")
    assert (cell.text, cell.kind) == ("Käse", "latin1")


def test_bytes_that_are_text_are_shown_as_text():
    cell = cell_of(pa.array(["Käse".encode()], pa.binary()))
    assert (cell.text, cell.kind) == ("Käse", "text")


def test_nul_characters_are_removed():
    assert cell_of(pa.array(["a\0b"]), "text").text == "ab"


def test_bytes_of_an_image_show_their_size():
    assert cell_of(pa.array([PNG], pa.binary())).text == "<image, 3.91 KiB>"


def test_unknown_bytes_show_their_size():
    cell = cell_of(pa.array([bytes(range(256)) * 12], pa.binary()))
    assert (cell.text, cell.kind) == ("<bytes, 3 KiB>", "bytes")


def test_an_image_structure_shows_its_size():
    cell = cell_of(pa.array([{"bytes": PNG, "path": "a.png"}]))
    assert (cell.text, cell.kind) == ("<image, 3.91 KiB>", "bytes")


def test_nested_values_are_json_with_their_bytes_worded():
    cell = cell_of(pa.array([{"turns": [{"who": "ä", "audio": PNG}]}]))
    assert cell.text == '{"turns": [{"who": "ä", "audio": "<image, 3.91 KiB>"}]}'
    assert cell.kind == "nested"


def test_long_nested_values_are_clipped():
    cell = cell_of(pa.array([list(range(5000))]))
    assert cell.is_clipped and len(cell.text) == 320


def test_missing_values_are_shown_as_nothing():
    assert cell_of(pa.array([None], pa.string()), "text").kind == "nothing"
    assert cell_of(pa.array([None], pa.null())).kind == "nothing"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1], pa.timestamp("ns")),
        pa.array([2**60], pa.timestamp("ms")),
        pa.array([1], pa.duration("ns")),
        pa.array([float("nan")]),
        pa.array(["x"]).dictionary_encode(),
        pa.array([datetime.date(1, 1, 1)]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    ],
    ids=str,
)
def test_odd_types_never_fail_a_page(column):
    assert cell_of(column).text


def test_pages_follow_the_order_of_rows_across_groups_and_parts():
    table = pa.table({"text": [f"row {n}" for n in range(457)]})
    dataset = make_dataset(table, part_rows=130, group_rows=37)
    seen = [row for page in range(1, 6) for row in rows_page(dataset, page).rows]
    assert [row.index for row in seen] == list(range(457))
    assert [row.cells[0].text for row in seen] == table.column("text").to_pylist()
    assert len(rows_page(dataset, 5).rows) == 457 - 4 * PAGE_ROWS
    assert rows_page(dataset, 6).rows == ()


def test_any_window_of_rows_can_be_read():
    dataset = make_dataset(pa.table({"text": [f"row {n}" for n in range(300)]}), part_rows=64, group_rows=10)
    for start, stop in ((0, 1), (63, 66), (99, 201), (299, 400)):
        texts = [row.cells[0].text for row in rows_between(dataset, start, stop).rows]
        assert texts == [f"row {n}" for n in range(start, min(stop, 300))]


def test_one_row_is_shown_in_full():
    dataset = make_dataset(pa.table({"text": ["a" * 5000]}))
    assert len(rows_page(dataset, 1).rows[0].cells[0].text) == 320
    assert dict(row_whole(dataset, 0))["text"].text == "a" * 5000


def test_search_finds_rows_whatever_the_case_and_goes_on_after_a_full_page():
    table = pa.table({"text": [f"needle {n}" if n % 2 else f"hay {n}" for n in range(500)]})
    dataset = make_dataset(table, part_rows=150, group_rows=50)
    first = rows_search(dataset, "NEEDLE")
    rest = rows_search(dataset, "needle", start=first.next_start)
    third = rows_search(dataset, "needle", start=rest.next_start)
    found = [row.index for part in (first, rest, third) for row in part.page.rows]
    assert found == list(range(1, 500, 2))
    assert third.next_start is None


def test_search_looks_into_text_that_is_not_utf8():
    broken = pa.array(["Käse".encode("latin-1"), b"needle"], pa.binary()).view(pa.string())
    assert [row.index for row in rows_search(make_dataset(pa.table({"text": broken})), "needle").page.rows] == [1]


TALK = [{"from": "human", "value": "Käse?"}, {"from": "gpt", "value": "No. " * 200}]


def test_a_conversation_is_shown_as_its_turns_and_found_by_its_words():
    dataset = make_dataset(pa.table({"text": [TALK, [{"from": "human", "value": "Else"}]]}))
    cell = rows_page(dataset, 1).rows[0].cells[0]
    assert [turn.role for turn in cell.turns] == ["user", "assistant"]
    assert cell.kind == "turns" and cell.turns[0].content == "Käse?"
    assert cell.is_clipped and sum(len(turn.content) for turn in cell.turns) == 320
    assert [row.index for row in rows_search(dataset, "KÄSE").page.rows] == [0]
    assert [row.index for row in rows_search(dataset, "KA\u0308SE").page.rows] == [0]


def test_a_list_of_words_is_no_conversation():
    assert cell_of(pa.array([["a", "b"]])).text == '["a", "b"]'


def test_broken_strings_are_found_by_their_latin1_text():
    broken = pa.array(["Käse".encode("latin-1")], pa.binary()).view(pa.string())
    assert len(rows_search(make_dataset(pa.table({"text": broken})), "käse").page.rows) == 1


def test_a_search_through_long_texts_goes_on_by_its_link(monkeypatch):
    monkeypatch.setattr("apps.datasets.row_search.SEARCH_BYTES", 1000)
    dataset = make_dataset(pa.table({"text": ["é" * 600] * 2500 + ["Nadel é"]}))
    start, found = 0, []
    while start is not None:
        part = rows_search(dataset, "nadel É", start=start)
        found += [row.index for row in part.page.rows]
        assert part.searched <= 1000
        start = part.next_start
    assert found == [2500]
