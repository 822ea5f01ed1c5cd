"""Cleaning of text before it is cut into tokens, in levels that each do more than the one before.

    minimal     control characters go, runs of white space become one; at least 5 characters must be left
    standard    HTML tags and entities, addresses of the web, four or more marks in a row (three stay), NFKC; at least 10
    aggressive  mail addresses, "…" and "!!!" become one mark, five or more equal characters become two; at least 20

Cleaning changes what the language model reads, so it is off by default. Standard library only.
"""

import html
import re
import unicodedata

LEAST_CHARACTERS = {"none": 0, "minimal": 5, "standard": 10, "aggressive": 20}
"""Cleaning level → characters that must be left; a shorter text is dropped."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
WHITE_SPACE = re.compile(r"\s+")
TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
WEB_ADDRESS = re.compile(r"\b(?:https?://|www\.)[^\s<>\"']+", re.IGNORECASE)
MARKS_RUN = re.compile(r"([^\w\s])([^\w\s])([^\w\s])[^\w\s]+")
MAIL_ADDRESS = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
DOTS = re.compile(r"\.{2,}|…")
EXCLAMATIONS = re.compile(r"([!?])\1+")
CHARACTER_RUN = re.compile(r"(\S)\1{4,}")


def text_clean(text: str, level: str) -> str | None:
    """`text` cleaned by a level of CLEANINGS ("none" leaves it as it is); None when too little of it is left."""
    text = text_cleaned(text, level)
    return text if len(text) >= LEAST_CHARACTERS[level] else None


def text_cleaned(text: str, level: str) -> str:
    """`text` cleaned by a level, however little is left."""
    if level == "none":
        return text
    if level in ("standard", "aggressive"):
        text = _standard(text)
    if level == "aggressive":
        text = _aggressive(text)
    return WHITE_SPACE.sub(" ", CONTROL.sub("", text)).strip()


def _standard(text: str) -> str:
    text = html.unescape(TAG.sub(" ", text))
    text = unicodedata.normalize("NFKC", WEB_ADDRESS.sub(" ", text))
    return MARKS_RUN.sub(r"\1\2\3", text)


def _aggressive(text: str) -> str:
    text = DOTS.sub(".", MAIL_ADDRESS.sub(" ", text))
    return CHARACTER_RUN.sub(r"\1\1", EXCLAMATIONS.sub(r"\1", text))
