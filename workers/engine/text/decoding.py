"""Text from bytes of unknown encoding, without ever losing a row, and text made visible.

Rows of real data sets hold Latin-1 beside UTF-8, NUL characters, binary columns. Standard library only: the web process
shows the same text that the engine tokenizes.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SafeText:
    """A text that a database and a page accept, with what had to be done to it."""

    text: str
    was_latin1: bool = False
    """The bytes were not UTF-8 and were read as Latin-1."""
    had_nul: bool = False
    """NUL characters were removed."""


def safe_text(value: Any) -> SafeText:
    """`value` as text: bytes as UTF-8 or else Latin-1, None as nothing, other objects as str() writes them."""
    was_latin1 = False
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text, was_latin1 = raw.decode("latin-1"), True
    else:
        text = "" if value is None else str(value)
    # Half of a surrogate pair (JSON may spell one) cannot be written as UTF-8.
    if not text.isascii():
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return SafeText(text.replace("\0", ""), was_latin1, "\0" in text)


MARKS = {ord("\n"): "↵", ord("\t"): "⇥", 0x7F: "␡", 0xA0: "⍽", 0xAD: "‐", 0x200B: "∅", 0xFEFF: "∅"}
CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(32)} | MARKS


def control_marked(text: str) -> str:
    """`text` on one line with marks for control characters; spaces stay spaces, where neighbours tell where they are."""
    return text.translate(CONTROL_PICTURES)


def visible(text: str) -> str:
    """`text` on one line with marks for what the eye misses: ↵ ⇥, control characters, spaces at either end as ·."""
    text = control_marked(text)
    core = text.strip(" ")
    if not core:
        return "·" * len(text)
    left = len(text) - len(text.lstrip(" "))
    return "·" * left + core + "·" * (len(text) - left - len(core))
