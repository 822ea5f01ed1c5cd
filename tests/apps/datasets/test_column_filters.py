"""Histograms over the columns and the rows behind each bar; NumPy and Python count for comparison."""

import numpy as np
import pyarrow as pa
import pytest

from apps.core.errors import AppError
from apps.datasets.column_filters import column_filter, histograms_of
from apps.datasets.models import Dataset
from apps.datasets.row_search import rows_search
from tests.apps.prepared import make_dataset
from workers.engine.specs.datasets import ColumnHistogram

pytestmark = pytest.mark.django_db
ROWS = 357


def columns() -> dict[str, list]:
    numbers = [None if n % 50 == 49 else (n * 37) % 101 / 4 for n in range(ROWS)]
    texts = [f"Word {'ä' * (n % 23)} {n}" for n in range(ROWS)]
    kinds = ["cat" if n % 3 else "dog & hen" for n in range(ROWS)]
    return {"text": texts, "score": numbers, "kind": kinds}


def measured() -> Dataset:
    """A dataset with a histogram of each kind, counted by NumPy."""
    values = columns()
    dataset = make_dataset(pa.table(values), part_rows=150, group_rows=40)
    found = []
    for column, kind, numbers in (
        ("score", "number", [n for n in values["score"] if n is not None]),
        ("text", "length", [len(text) for text in values["text"]]),
    ):
        counts, edges = np.histogram(numbers, bins=8)
        found.append(
            ColumnHistogram(
                column=column, kind=kind, edges=tuple(map(float, edges)), counts=tuple(map(int, counts)), nulls=7
            )
        )
    found.append(ColumnHistogram(column="kind", kind="value", values=("cat", "dog & hen"), counts=(238, 119)))
    dataset.report["histograms"] = [one.to_json() for one in found]
    dataset.save()
    return dataset


def all_rows(dataset: Dataset, words: str, chosen) -> list[int]:
    """The rows of all pages; none of them has more than a hundred."""
    rows: list[int] = []
    start = 0
    while start is not None:
        found = rows_search(dataset, words, chosen, start=start)
        assert len(found.page.rows) <= 100
        rows += [row.index for row in found.page.rows]
        start = found.next_start
    return rows


@pytest.mark.parametrize("column", ["score", "text", "kind"])
def test_behind_each_bar_are_as_many_rows_as_it_counts(client_in, column):
    dataset = measured()
    seen = []
    for bar in histograms_of(dataset, None)[column].bars:
        query = dict(pair.split("=") for pair in bar.query.split("&"))
        chosen = column_filter(
            dataset, {name: value.replace("+", " ").replace("%26", "&") for name, value in query.items()}
        )
        rows = all_rows(dataset, "", chosen)
        assert len(rows) == bar.count
        seen += rows
    assert sorted(seen) == [n for n in range(ROWS) if columns()[column][n] is not None]


def test_a_bar_of_lengths_names_the_lengths_that_lie_in_it():
    found = ColumnHistogram(column="text", kind="length", edges=(0.5, 1.5, 2.5), counts=(1, 2))
    wide = ColumnHistogram(column="title", kind="length", edges=(0.0, 2.5, 5.0), counts=(1, 2))
    dataset = make_dataset(pa.table({"text": ["a", "bb", "cc"], "title": ["", "abcd", "abcde"]}))
    dataset.report["histograms"] = [found.to_json(), wide.to_json()]
    shown = histograms_of(dataset, None)
    assert [bar.words for bar in shown["text"].bars] == ["1 character", "2 characters"]
    assert [bar.words for bar in shown["title"].bars] == ["0 to 2 characters", "3 to 5 characters"]
    assert (shown["text"].low, shown["text"].high) == ("1", "2")


def test_a_single_span_is_no_histogram():
    dataset = make_dataset(pa.table({"text": ["one row"]}))
    dataset.report["histograms"] = [
        ColumnHistogram(column="text", kind="length", edges=(6.5, 7.5), counts=(1,)).to_json(),
        ColumnHistogram(column="kind", kind="value", values=("cat",), counts=(1,)).to_json(),
    ]
    assert set(histograms_of(dataset, None)) == {"kind"}


def test_whole_numbers_are_filtered_by_their_value():
    dataset = make_dataset(pa.table({"text": ["a", "b", "c"], "label": pa.array([-1, 2, 2], pa.int8())}))
    histogram = ColumnHistogram(column="label", kind="value", values=("-1", "2"), counts=(1, 2))
    dataset.report["histograms"] = [histogram.to_json()]
    assert all_rows(dataset, "", column_filter(dataset, {"col": "label", "value": "2"})) == [1, 2]


def test_a_filter_and_words_hold_together():
    dataset = measured()
    chosen = column_filter(dataset, {"col": "kind", "value": "dog & hen"})
    assert all_rows(dataset, "ää", chosen) == [n for n in range(ROWS) if n % 3 == 0 and n % 23 >= 2]


def test_a_bar_holds_its_left_border_and_the_last_one_both():
    dataset = make_dataset(pa.table({"text": ["a"] * 5, "n": [0, 1, 2, 3, 4]}))
    histogram = ColumnHistogram(column="n", kind="number", edges=(0.0, 2.0, 4.0), counts=(2, 3))
    dataset.report["histograms"] = [histogram.to_json()]
    spans = {"0.0": [0, 1], "2.0": [2, 3, 4]}
    for low, rows in spans.items():
        chosen = column_filter(dataset, {"col": "n", "lo": low, "hi": str(float(low) + 2)})
        assert all_rows(dataset, "", chosen) == rows


def test_what_cannot_be_filtered_is_refused():
    dataset = measured()
    assert column_filter(dataset, {"q": "x"}) is None
    for query in ({"col": "nothing", "value": "1"}, {"col": "score"}, {"col": "score", "lo": "a", "hi": "2"}):
        with pytest.raises(AppError) as caught:
            column_filter(dataset, query)
        assert caught.value.code == "bad_filter"


def test_the_page_has_a_link_for_each_bar_that_leads_to_its_rows(client_in):
    dataset = measured()
    page = client_in.get(dataset.get_absolute_url(), {"q": "word"}).text
    bar = histograms_of(dataset, None)["kind"].bars[1]
    assert f'href="?q=word&amp;{bar.query.replace("&", "&amp;")}#rows-title"' in page
    plain = client_in.get(dataset.get_absolute_url()).text
    assert f'href="?{bar.query.replace("&", "&amp;")}#rows-title"' in plain
    assert 'aria-label="kind dog &amp; hen: 119 rows"' in page
    assert "Distribution of values in kind; most often cat, 238 rows." in page
    assert "Distribution of lengths in text from 7 to" in page and "7 are missing" in page


def test_a_chosen_filter_is_a_chip_that_takes_it_away(client_in):
    dataset = measured()
    shown = client_in.get(dataset.get_absolute_url(), {"col": "kind", "value": "dog & hen", "q": "ää"})
    assert "kind: dog &amp; hen" in shown.text and 'href="?q=%C3%A4%C3%A4#rows-title"' in shown.text
    alone = client_in.get(dataset.get_absolute_url(), {"col": "kind", "value": "cat"}).text
    assert 'aria-current="true" href="?#rows-title"' in alone
    assert [row.index % 3 for row, _ in shown.context["lines"]] == [0] * len(shown.context["lines"])
    assert shown.text.count('aria-current="true"') >= 2, "the chip and its bar"
    assert '<input type="hidden" name="value" value="dog &amp; hen">' in shown.text


def test_more_than_a_hundred_hits_go_on_by_a_link(client_in):
    shown = client_in.get(measured().get_absolute_url(), {"col": "kind", "value": "cat"})
    assert len(shown.context["lines"]) == 100
    rest = client_in.get(measured().get_absolute_url(), {"col": "kind", "value": "cat", "from": "151"})
    assert shown.context["search"].next_start == 151 and rest.context["lines"][0][0].index == 151


def test_samples_of_the_api_are_filtered_as_the_page_is(client_in):
    dataset = measured()
    url = f"/api/v1/datasets/{dataset.pk}/samples"
    first = client_in.get(url, {"col": "kind", "value": "cat", "q": "word"}).json()
    assert (len(first["items"]), first["next"]) == (100, 151)
    rest = client_in.get(url, {"col": "kind", "value": "cat", "from": first["next"]}).json()
    assert rest["items"][0]["row"] == 151
    assert client_in.get(url, {"col": "x"}).json()["error"]["code"] == "bad_filter"
    assert client_in.get(url, {"page": "0"}).json()["error"]["code"] == "bad_number"


def test_text_that_is_not_utf8_is_counted_and_searched_as_latin1():
    broken = pa.array(["Käse".encode("latin-1"), b"needle"], pa.binary())
    dataset = make_dataset(pa.table({"text": broken}))
    edges = ColumnHistogram(column="text", kind="length", edges=(0.0, 5.0, 10.0), counts=(1, 1))
    dataset.report["histograms"] = [edges.to_json()]
    assert all_rows(dataset, "", column_filter(dataset, {"col": "text", "lo": "0", "hi": "5"})) == [0]
    assert all_rows(dataset, "käse", None) == [0]
