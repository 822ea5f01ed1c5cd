"""Histograms over columns, against NumPy and plain counting."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from workers.engine.datasets.histograms import histograms
from workers.engine.datasets.row_parts import RowParts
from workers.engine.datasets.rows import Rows
from workers.engine.progress import Progress


def drawn(folder, **columns):
    parts = RowParts(folder / "rows")
    parts.write(pa.table(columns))
    parts.close()
    found = histograms(Rows.open(folder), Progress())
    assert json.loads(json.dumps([one.to_json() for one in found], allow_nan=False))
    return {one.column: one for one in found}


def test_numbers_fall_into_twenty_bins_like_numpys(tmp_path):
    values = np.random.default_rng(0).normal(size=2_500)
    found = drawn(tmp_path, n=values)["n"]
    counts, edges = np.histogram(values, 20)
    assert found.kind == "number" and list(found.counts) == counts.tolist()
    assert found.edges == pytest.approx(edges)


def test_what_is_no_finite_number_is_counted_apart(tmp_path):
    found = drawn(tmp_path, n=pa.array([1.0, 2.0, None, float("nan"), float("inf")]), flat=[7.0] * 5)
    assert (sum(found["n"].counts), found["n"].nulls) == (2, 3)
    assert (found["flat"].edges, found["flat"].counts) == ((7.0, 7.0), (5,))


def test_the_widest_span_of_numbers_stays_finite(tmp_path):
    assert sum(drawn(tmp_path, n=[-1.7e308, 0.0, 1.7e308])["n"].counts) == 3


def test_few_distinct_texts_are_counted_by_value_many_by_length(tmp_path):
    few = [f"v{n % 20}" for n in range(1_200)] + [None]
    many = ["é" * (n % 30 + 1) for n in range(1_201)]
    found = drawn(tmp_path, few=few, many=many)
    assert dict(zip(found["few"].values, found["few"].counts)) == Counter(filter(None, few))
    assert (found["few"].kind, found["few"].nulls) == ("value", 1)
    lengths = np.histogram([len(text) for text in many], 20)[0]
    assert (found["many"].kind, list(found["many"].counts)) == ("length", lengths.tolist())


def test_whole_numbers_of_a_small_span_are_counted_one_by_one(tmp_path):
    labels = [n % 3 * 2 - 2 for n in range(301)]
    found = drawn(tmp_path, label=pa.array([*labels, None], pa.int8()), wide=[*range(301), 0], unsure=[0.0, 1.0] * 151)
    assert (found["label"].kind, found["label"].values, found["label"].nulls) == ("value", ("-2", "0", "2"), 1)
    assert found["label"].counts == tuple(Counter(labels)[value] for value in (-2, 0, 2))
    assert (found["wide"].kind, found["unsure"].kind) == ("number", "number")


def test_lengths_of_a_small_span_have_a_bin_each(tmp_path):
    texts = [f"{n:03d}" for n in range(200)] + [f"{n:05d}" for n in range(50)]
    found = drawn(tmp_path, text=texts)["text"]
    assert (found.kind, found.edges, found.counts) == ("length", (2.5, 3.5, 4.5, 5.5), (200, 0, 50))


def test_other_columns_and_empty_ones_have_none(tmp_path):
    assert set(drawn(tmp_path, text=["a"], nested=[[1]], raw=[b"x"], none=pa.nulls(1, pa.float64()))) == {"text"}
