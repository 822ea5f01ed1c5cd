"""Rows of .csv and .tsv files, read strictly: RFC 4180 with any line end, quotes that close, no more values than columns.

The first line names the columns. A .tsv file is cut at tabs; for a .csv file that one of comma, semicolon and tab is taken
that cuts the first line into most names. Every value stays text. What is legal but may be a mistake is counted: rows with
too few values, lines inside quotes that look like rows.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from workers.engine.datasets import source as limits
from workers.engine.datasets.column_names import columns_named
from workers.engine.datasets.source import RowSource, SizedRow
from workers.engine.datasets.text_lines import ESCAPED_BYTE, as_latin1, decoded, lines, row_too_large
from workers.engine.specs.errors import BadArtifact

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
SHORT = "Rows with fewer values than columns, where the last ones are left empty"
BLANK = "Blank lines that were skipped"
SPANNING = "Rows with line ends inside quotes"
SWALLOWED = "Rows with lines inside quotes that look like rows of their own (is a quote not closed?)"
NAMELESS = "Columns without a name, now called unnamed"


def csv_rows(path: Path, source: RowSource) -> Iterator[SizedRow]:
    """The rows of one file. Raises BadArtifact that names file and line."""
    records = Records(path, "\t" if path.suffix.lower() == ".tsv" else _delimiter(path))
    found = next((values for values in records if values), [])
    names = columns_named([decoded(name, source) for name in found], path.name)
    for place, name in enumerate(found, 1):
        if not name.strip():
            source.notices.add(NAMELESS, f"{path.name}, column {place}")
    watch = _Watch(path.name, names, records, source)
    for values in records:
        if not values:
            source.notices.add(BLANK, f"{path.name}, line {records.begins:,}")
            continue
        watch.look(values)
        if any(ESCAPED_BYTE.search(value) for value in values if not value.isascii()):
            source.latin1_rows += 1
            values = [as_latin1(value) for value in values]
        yield records.size, dict.fromkeys(names) | dict(zip(names, values))


class Records:
    """The values of each row as they stand in the file; `begins` and `ends` are the lines of the newest one."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self.name, self.delimiter = path.name, delimiter
        self.begins = self.ends = self.size = 0
        csv.field_size_limit(limits.MOST_ROW_BYTES)  # a document is longer than the library's 128 kB
        self._reader = csv.reader(self._lines(path), delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self.begins, self.size = self._reader.line_num + 1, 0
        try:
            values = next(self._reader)
        except csv.Error as error:
            raise self._refusal(error) from error
        self.ends = self._reader.line_num
        return values

    def _lines(self, path: Path) -> Iterator[str]:
        for line in lines(path):
            self.size += len(line)
            if self.size > limits.MOST_ROW_BYTES:
                raise row_too_large(self.name, f"line {self.begins:,}")
            yield line

    def _refusal(self, error: csv.Error) -> BadArtifact:
        if "unexpected end" in str(error):
            return BadArtifact(
                f"{self.name}: a quote that opens in the row at line {self.begins:,} is never closed.",
                'Close it, or double it where it is meant as a character: "".',
            )
        return BadArtifact(
            f"{self.name}: line {self._reader.line_num:,} is not valid ({error}); the row begins in line {self.begins:,}.",
            'Put values with quotes, separators or line ends in double quotes and double the quotes inside: "".',
        )


def _delimiter(path: Path) -> str:
    """The character that cuts the first line into most names."""
    counts: dict[str, float] = {}
    for delimiter in DELIMITERS:
        try:
            counts[delimiter] = len(next((values for values in Records(path, delimiter) if values), []))
        except BadArtifact:
            counts[delimiter] = 1.5  # better than one name, which only says that this one does not occur
    return max(counts, key=lambda delimiter: counts[delimiter])


class _Watch:
    """Looks at each row for what may be a mistake."""

    def __init__(self, name: str, columns: list[str], records: Records, source: RowSource) -> None:
        self.name, self.columns, self.records, self.source = name, columns, records, source
        self._form: tuple[bool, ...] = ()

    def look(self, values: list[str]) -> None:
        """Raises BadArtifact when the row has too many values; counts what is only odd."""
        begins, ends = self.records.begins, self.records.ends
        place = f"{self.name}, line {begins:,}"
        if len(values) > len(self.columns):
            raise BadArtifact(
                f"{self.name}: the row ending in line {ends:,} has {len(values):,} values; "
                f"the first line names {len(self.columns):,} columns.",
                f"Put values that contain the separator, here a {DELIMITERS[self.records.delimiter]}, in double quotes.",
            )
        if len(values) < len(self.columns):
            self.source.notices.add(SHORT, place)
        if begins == ends:
            self._form = _form(values)
            return
        self.source.notices.add(SPANNING, place)
        if self._swallows(values):
            self.source.notices.add(SWALLOWED, place)

    def _swallows(self, values: list[str]) -> bool:
        """Whether a line inside a value has the values of an ordinary row, numbers where that has numbers."""
        if len(self.columns) < 2 or not any(self._form):
            return False
        inside = (line for value in values if "\n" in value or "\r" in value for line in value.splitlines()[1:])
        return any(_form(line.split(self.records.delimiter)) == self._form for line in inside)


def _form(values: list[str]) -> tuple[bool, ...]:
    return tuple(value.strip().isdecimal() for value in values)
