"""Checks of JSON bodies that are not Specs."""

from typing import Any

from apps.core.errors import AppError
from workers.engine.specs.type_words import TYPE_WORDS


def fields_check(body: Any, kinds: dict[str, type]) -> None:
    """The body is an object with some of these fields, each of its type; AppError "spec_invalid" otherwise."""
    if not isinstance(body, dict) or not body:
        raise AppError("spec_invalid", "There is nothing to change.", f"Send an object with {', '.join(kinds)}.")
    for name, value in body.items():
        if name not in kinds:
            raise AppError("spec_invalid", f"{name} cannot be changed.", f"Known: {', '.join(kinds)}.", field=name)
        if type(value) is not kinds[name]:
            words = f"{name} must be {TYPE_WORDS[kinds[name]]}."
            raise AppError("spec_invalid", words, "Correct the value.", field=name)
