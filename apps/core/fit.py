"""Whether something fits into a device's free memory: the same three words, tones and icons on every page."""

from dataclasses import dataclass

ROOMY_SHARE = 0.8
"""What needs more than this share of the free memory is tight."""


@dataclass(frozen=True)
class FitWord:
    """What a badge says; `rank` is 0 for the best."""

    word: str
    tone: str
    icon: str
    rank: int


FITS = FitWord("fits", "good", "circle-check", 0)
TIGHT = FitWord("tight", "warn", "triangle-alert", 1)
TOO_LARGE = FitWord("will not fit", "bad", "circle-x", 2)


def fit_word(*, needed_bytes: int, free_bytes: int) -> FitWord:
    """Fits when a fifth of the free memory stays free, tight when less does, will not fit when there is too little."""
    if needed_bytes > free_bytes:
        return TOO_LARGE
    return FITS if needed_bytes <= ROOMY_SHARE * free_bytes else TIGHT
