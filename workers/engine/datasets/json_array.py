"""The elements of one large JSON array, one after the other, without holding the array in memory."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from workers.engine.datasets import source as limits
from workers.engine.datasets.json_values import MOST_VALUES, not_json, row_too_many_values, values_most
from workers.engine.datasets.text_lines import row_too_large
from workers.engine.specs.errors import BadArtifact

CHUNK_CHARACTERS = 2**20
WHITESPACE = re.compile(r"[ \t\r\n]*")


def json_array_rows(file: TextIO, name: str, decoder: json.JSONDecoder) -> Iterator[tuple[int, int, Any]]:
    """(line on which it begins, its characters, element) of the array in `file`. Raises BadArtifact that names the line."""
    scanner = _Scanner(file, name, decoder)
    scanner.take("[")
    if scanner.peek() == "]":
        scanner.take("]")
    else:
        while True:
            scanner.peek()
            yield scanner.line, *scanner.value()
            if scanner.take(",]") == "]":
                break
    if scanner.peek():
        raise BadArtifact(f"{name}: line {scanner.line:,} goes on behind the end of the array.", "Take the rest away.")


class _Scanner:
    """A text file seen through a window; the next character is `window[at]`, on line `line`."""

    def __init__(self, file: TextIO, name: str, decoder: json.JSONDecoder) -> None:
        self.file, self.name = file, name
        self.window, self.at, self.line = "", 0, 1
        self.ended = False
        self.decoder = decoder

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            self._go_to(WHITESPACE.match(self.window, self.at).end())
            if self.at < len(self.window) or self.ended:
                return self.window[self.at : self.at + 1]
            self._read()

    def take(self, wanted: str) -> str:
        """Step over the next character, which must be one of `wanted`."""
        found = self.peek()
        if not found or found not in wanted:
            seen = repr(found) if found else "the end of the file"
            raise BadArtifact(
                f"{self.name}: line {self.line} has {seen} where one of {' '.join(wanted)} is due.", "Correct the line."
            )
        self._go_to(self.at + 1)
        return found

    def value(self) -> tuple[int, Any]:
        """Step over one JSON value; returns its characters and the value."""
        while True:
            self._check_size()
            try:
                value, end = self.decoder.raw_decode(self.window, self.at)
            except json.JSONDecodeError as error:
                line = self.line + self.window.count("\n", self.at, error.pos)
                if self.ended:
                    raise not_json(self.name, f"line {line:,}", error) from error
            except (ValueError, RecursionError) as error:
                raise not_json(self.name, f"the element at line {self.line:,}", error) from error
            else:
                # A number that touches the window's end may go on behind it.
                if end < len(self.window) or self.ended:
                    size = end - self.at
                    self._go_to(end)
                    return size, value
            self._read()

    def _check_size(self) -> None:
        """At least half of a window that had to grow is one value."""
        length = len(self.window) - self.at
        if length > 2 * limits.MOST_ROW_BYTES:
            raise row_too_large(self.name, f"line {self.line:,}")
        if length > 2 * CHUNK_CHARACTERS and values_most(self.window[self.at :]) > 2 * MOST_VALUES:
            raise row_too_many_values(self.name, f"line {self.line:,}")

    def _go_to(self, place: int) -> None:
        self.line += self.window.count("\n", self.at, place)
        self.at = place

    def _read(self) -> None:
        """Widen the window; doubling keeps repeated attempts on a long value linear in its length."""
        rest = self.window[self.at :]
        more = self.file.read(max(CHUNK_CHARACTERS, len(rest)))
        self.ended = not more
        self.window, self.at = rest + more, 0
