"""Types of command-line arguments, with refusals in words."""

from argparse import ArgumentTypeError

from apps.core.asking import LARGEST_WHOLE, shown, whole_or_none


def whole(text: str) -> int:
    """A whole number from 0, as ids, counts and limits are."""
    number = whole_or_none(text)
    if number is None:
        raise ArgumentTypeError(f"{shown(text)} is not a whole number from 0 to {LARGEST_WHOLE:,}")
    return number
