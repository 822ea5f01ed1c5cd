"""Histograms over the columns of a dataset, and the filter that a click on a bar sets: ?col=&lo=&hi= or ?col=&value=."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from django.utils.http import urlencode

from apps.core.asking import number_or_none
from apps.core.errors import AppError
from apps.core.templatetags.studio import compact
from apps.datasets.models import Dataset
from apps.datasets.scalars import texts_of
from workers.engine.specs.datasets import ColumnHistogram

FILTER_NAMES = ("col", "lo", "hi", "value")
"""Query parameters that make a filter."""


@dataclass(frozen=True)
class ColumnFilter:
    """Rows whose value in `column`, or its length in characters, lies in a span; or whose value is `value`."""

    column: str
    kind: str
    """That of the ColumnHistogram: number, length or value."""
    low: float = 0.0
    high: float = 0.0
    holds_high: bool = False
    """The last bar holds its right border too."""
    value: str = ""

    @property
    def words(self) -> str:
        """For the chip: "length 10 to 20 characters"."""
        return f"{self.column}: {_bar_words(self)}"

    @property
    def query(self) -> dict[str, str]:
        """The query parameters that make this filter."""
        if self.kind == "value":
            return {"col": self.column, "value": self.value}
        return {"col": self.column, "lo": repr(self.low), "hi": repr(self.high)}

    def holds(self, column: pa.Array) -> pa.Array:
        """For each value of an Arrow column whether it passes; null never does."""
        if self.kind == "value":
            return pc.equal(texts_of(column), self.value).fill_null(False)
        numbers = pc.utf8_length(texts_of(column)) if self.kind == "length" else column.cast(pa.float64(), safe=False)
        is_below = pc.less_equal if self.holds_high else pc.less
        return pc.and_(pc.greater_equal(numbers, self.low), is_below(numbers, self.high)).fill_null(False)


@dataclass(frozen=True)
class Bar:
    """One bar: what it stands for in words, how many rows, their share of the tallest, the filter as a query string."""

    words: str
    count: int
    share: float
    query: str
    is_chosen: bool


@dataclass(frozen=True)
class Histogram:
    """The bars over one column and what they say in a sentence."""

    column: str
    kind: str
    bars: tuple[Bar, ...]
    low: str
    high: str
    nulls: int

    @property
    def sentence(self) -> str:
        """The text alternative."""
        most = max(self.bars, key=lambda bar: bar.count)
        what = {"number": "values", "length": "lengths", "value": "values"}[self.kind]
        missing = f" {self.nulls:,} are missing." if self.nulls else ""
        span = "" if self.kind == "value" else f" from {self.low} to {self.high}"
        return f"Distribution of {what} in {self.column}{span}; most often {most.words}, {most.count:,} rows.{missing}"


def histograms_of(dataset: Dataset, chosen: ColumnFilter | None, words: str = "") -> dict[str, Histogram]:
    """Column → its histogram, for those columns that have one; its bars keep the search for `words`.

    A single span of numbers or lengths tells nothing and is left out.
    """
    found = [ColumnHistogram.from_json(values) for values in dataset.report.get("histograms", [])]
    told = [one for one in found if any(one.counts) and (one.kind == "value" or len(one.counts) > 1)]
    return {one.column: _histogram(one, chosen, words) for one in told}


def _histogram(found: ColumnHistogram, chosen: ColumnFilter | None, words: str) -> Histogram:
    tallest = max(found.counts)
    bars = tuple(
        Bar(
            words=_bar_words(one),
            count=count,
            share=count / tallest,
            query=urlencode(({"q": words} if words else {}) | one.query),
            is_chosen=one == chosen,
        )
        for one, count in zip(_filters(found), found.counts)
    )
    return Histogram(found.column, found.kind, bars, *_ends(found), found.nulls)


def _ends(found: ColumnHistogram) -> tuple[str, str]:
    """The least and the greatest number, or length, in words."""
    if not found.edges:
        return "", ""
    low, high = found.edges[0], found.edges[-1]
    return (
        (compact(math.ceil(low)), compact(math.floor(high))) if found.kind == "length" else (_plain(low), _plain(high))
    )


def _filters(found: ColumnHistogram) -> list[ColumnFilter]:
    """The filter of each bar."""
    if found.kind == "value":
        return [ColumnFilter(found.column, "value", value=value) for value in found.values]
    spans = list(zip(found.edges, found.edges[1:]))
    return [
        ColumnFilter(found.column, found.kind, low, high, holds_high=place == len(spans) - 1)
        for place, (low, high) in enumerate(spans)
    ]


def _bar_words(one: ColumnFilter) -> str:
    """What lies in a bar: a value, "2.5 to 5", "103 to 204 characters"."""
    if one.kind == "value":
        return one.value or "empty"
    if one.kind == "number":
        return f"{_plain(one.low)} to {_plain(one.high)}"
    least, most = math.ceil(one.low), math.floor(one.high) if one.holds_high else math.ceil(one.high) - 1
    span = compact(least) if least >= most else f"{compact(least)} to {compact(most)}"
    return f"{span} character{'' if span == '1' else 's'}"


def _plain(number: float) -> str:
    return compact(int(number) if float(number).is_integer() else number)


def column_filter(dataset: Dataset, query: Mapping[str, str]) -> ColumnFilter | None:
    """The filter that a query string asks for; None without ?col=. AppError "bad_filter" for what cannot be filtered."""
    column = query.get("col", "")
    if not column:
        return None
    found = [ColumnHistogram.from_json(values) for values in dataset.report.get("histograms", [])]
    histogram = next((one for one in found if one.column == column), None)
    if histogram is None:
        raise _refusal(f"{dataset} has no histogram over {column!r}.", "Filter by a column that has bars.")
    if histogram.kind == "value":
        return ColumnFilter(column, "value", value=query.get("value", ""))
    low, high = number_or_none(query.get("lo")), number_or_none(query.get("hi"))
    if low is None or high is None:
        raise _refusal(f"The span of {column} is not given by numbers.", "Send ?lo= and ?hi=.")
    return ColumnFilter(column, histogram.kind, low, high, holds_high=high >= histogram.edges[-1])


def _refusal(message: str, hint: str) -> AppError:
    return AppError("bad_filter", message, hint, field="col")
