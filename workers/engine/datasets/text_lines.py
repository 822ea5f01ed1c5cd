"""Lines of a text file in whatever way they end (\\n, \\r\\n, \\r), never more than one row's worth of them in memory."""

import re
from collections.abc import Iterator
from pathlib import Path

from workers.engine.datasets import source as limits
from workers.engine.datasets.source import RowSource
from workers.engine.specs.errors import BadArtifact
from workers.engine.text.decoding import safe_text

ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
"""How Python marks a byte that is not UTF-8 (surrogateescape)."""


def lines(path: Path) -> Iterator[str]:
    """Each line with its end; bytes that are not UTF-8 are marked as ESCAPED_BYTE says. Raises BadArtifact."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        number = 0
        while line := file.readline(limits.MOST_ROW_BYTES + 1):
            number += 1
            if len(line) > limits.MOST_ROW_BYTES:
                raise row_too_large(path.name, f"line {number:,}")
            yield line


def row_too_large(name: str, where: str) -> BadArtifact:
    """The refusal of a row that would not fit into memory."""
    return BadArtifact(
        f"{name}: the row at {where} is larger than {limits.MOST_ROW_BYTES // 2**20:,} MiB.",
        "Cut it into documents: each row is held in memory as a whole.",
    )


def decoded(text: str, source: RowSource) -> str:
    """Text with bytes that are not UTF-8 read as Latin-1, and counted as one row."""
    if text.isascii() or not ESCAPED_BYTE.search(text):
        return text
    source.latin1_rows += 1
    return as_latin1(text)


def as_latin1(text: str) -> str:
    """The text whose bytes were not UTF-8, read as Latin-1."""
    return safe_text(text.encode("utf-8", "surrogateescape")).text
