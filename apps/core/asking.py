"""What callers send, read in one place: whole numbers, ids, choices, orders, filters and JSON.

Readers named `…_asked` take the parameter's name and raise AppError "bad_…" (400) with what is allowed. What is read is
always something that a row can hold: 64-bit whole numbers, finite numbers, text without NUL and without half of a
surrogate pair, JSON of MOST_DEPTH levels.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from apps.core.errors import AppError

LARGEST_WHOLE = 2**63 - 1
"""The largest whole number, and so the largest id, that a row can hold."""
MOST_DEPTH = 32
"""Levels of JSON: lists in objects in lists …"""
MOST_SHOWN = 80

_WHOLE = re.compile(r"[0-9]{1,19}")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Row = TypeVar("Row", bound=Model)


def shown(text: object) -> str:
    """What was sent, quoted and cut so that a message can hold it."""
    words = repr(text)
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}…"


def whole_or_none(text: object) -> int | None:
    """ "12" and 12 as 12; None for what is no whole number from 0 to LARGEST_WHOLE, True and 1.5 included."""
    if isinstance(text, bool) or not isinstance(text, int | str):
        return None
    if isinstance(text, str):
        if not _WHOLE.fullmatch(text.strip()):
            return None
        text = int(text)
    return text if 0 <= text <= LARGEST_WHOLE else None


def whole_numbers(texts: Iterable[object]) -> list[int]:
    """Those of `texts` that are whole numbers."""
    return [number for number in map(whole_or_none, texts) if number is not None]


def whole_asked(
    asked: Mapping[str, Any], name: str, *, default: int | None = None, least: int = 0, most: int = LARGEST_WHOLE
) -> int:
    """The whole number `name`; `default` where it is not sent. AppError "bad_number" names the range."""
    text = asked.get(name)
    if text is None and default is not None:
        return default
    number = whole_or_none(text)
    if number is None or not least <= number <= most:
        span = f"from {least:,} to {most:,}" if most < LARGEST_WHOLE else f"from {least:,}"
        words = f"{name}={shown(text or '')} is not a whole number {span}."
        raise AppError("bad_number", words, "Correct the number.", field=name)
    return number


def id_asked(asked: Mapping[str, Any], name: str) -> int | None:
    """The id `name`; None where it is not sent or empty. AppError "bad_number" when it is no id."""
    return whole_asked(asked, name) if asked.get(name) else None


def ids_asked(asked: Mapping[str, Any], name: str) -> list[int]:
    """The ids of ?name=3,7, or of a JSON list. AppError "bad_ids" when there are none or one is no id."""
    sent = asked.get(name)
    pieces = sent if isinstance(sent, list) else str(sent or "").split(",")
    found = whole_numbers(pieces)
    if not found or len(found) != len(pieces):
        raise AppError("bad_ids", f"{name} is no list of ids.", f"Send them like {name}=3,7.", field=name)
    return found


def row_or_none(rows: QuerySet[Row], text: object) -> Row | None:
    """The row whose id is `text`; None when there is none, or `text` is no id."""
    pk = whole_or_none(text)
    return None if pk is None else rows.filter(pk=pk).first()


def choice_asked(asked: Mapping[str, Any], name: str, allowed: Iterable[str], *, default: str = "") -> str:
    """The word `name`, one of `allowed`; `default` where it is not sent or empty. AppError "bad_filter" names them all."""
    word = asked.get(name) or default
    allowed = tuple(allowed)
    if word != default and word not in allowed:
        known = ", ".join(allowed)
        raise AppError("bad_filter", f"There is no {name} {shown(word)}.", f"Known: {known}.", field=name)
    return word


def names_require(asked: Iterable[str], known: Collection[str]) -> None:
    """Refuse a parameter that no filter has: misspelt, it would find everything. AppError "bad_filter" names the known."""
    for name in asked:
        if name not in known:
            words = f"There is no filter {shown(name)}."
            raise AppError("bad_filter", words, f"Known: {', '.join(known)}.", field=name[:MOST_SHOWN])


def number_or_none(text: object) -> float | None:
    """ "0.5" as 0.5; None for what is no finite number."""
    try:
        number = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def text_require(text: str) -> None:
    """Refuse text that a database cannot hold. AppError "bad_text"."""
    if _UNSTORABLE.search(text):
        words = "The text holds a NUL character or half of a surrogate pair: no database can store it."
        raise AppError("bad_text", words, "Take that character out.")


def json_read(text: str | bytes) -> Any:
    """The value of a JSON text that a row can hold. AppError "bad_json" or "bad_text" otherwise."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # bad JSON, bad UTF-8, and numbers of more than 4,300 digits alike
        raise AppError("bad_json", f"This is no valid JSON: {error}.", "Check brackets and quotes.") from None
    json_require(value)
    return value


def json_require(value: Any) -> None:
    """Refuse what a row cannot hold: too many levels, numbers that are too large, text as in `text_require`."""
    level = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, str):
                text_require(each)
            elif isinstance(each, dict):
                inner += [*each, *each.values()]
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, int | float) and not abs(each) <= (LARGEST_WHOLE if isinstance(each, int) else 1e308):
                raise AppError("bad_json", "A number is too large.", f"Whole ones end at {LARGEST_WHOLE:,}.")
        if not inner:
            return
        level = inner
    raise _too_deep()


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number in JSON")


def _too_deep() -> AppError:
    return AppError("bad_json", f"The JSON has more than {MOST_DEPTH} levels.", "Send it flatter.")
