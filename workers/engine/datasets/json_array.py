"""The elements of one large JSON array, one after the other, without holding the array in memory."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from workers.engine.specs.errors import BadArtifact

CHUNK_CHARACTERS = 2**20
WHITESPACE = re.compile(r"[ \t\r\n]*")


def json_array_rows(file: TextIO, name: str) -> Iterator[tuple[int, Any]]:
    """(line on which it begins, element) of the array in `file`. Raises BadArtifact that names the line."""
    scanner = _Scanner(file, name)
    scanner.take("[")
    if scanner.peek() == "]":
        return
    while True:
        scanner.peek()
        yield scanner.line, scanner.value()
        if scanner.take(",]") == "]":
            return


class _Scanner:
    """A text file seen through a window; the next character is `window[at]`, on line `line`."""

    def __init__(self, file: TextIO, name: str) -> None:
        self.file, self.name = file, name
        self.window, self.at, self.line = "", 0, 1
        self.ended = False
        self.decoder = json.JSONDecoder()

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

    def value(self) -> Any:
        """Step over one JSON value and return it."""
        while True:
            try:
                value, end = self.decoder.raw_decode(self.window, self.at)
            except json.JSONDecodeError as error:
                if self.ended:
                    line = self.line + self.window.count("\n", self.at, error.pos)
                    raise BadArtifact(f"{self.name}: line {line} is not JSON ({error.msg}).", "Correct it.") from error
            else:
                # A number that touches the window's end may go on behind it.
                if end < len(self.window) or self.ended:
                    self._go_to(end)
                    return value
            self._read()

    def _go_to(self, place: int) -> None:
        self.line += self.window.count("\n", self.at, place)
        self.at = place

    def _read(self) -> None:
        """Widen the window; doubling keeps repeated attempts on a long value linear in its length."""
        rest = self.window[self.at :]
        more = self.file.read(max(CHUNK_CHARACTERS, len(rest)))
        self.ended = not more
        self.window, self.at = rest + more, 0
