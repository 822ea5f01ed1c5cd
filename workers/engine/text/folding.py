"""Text as searches compare it: without case, and without regard to how a character is composed. Standard library only."""

import re
import unicodedata

TURKISH_I = re.compile("ı\u0307*|i\u0307+")
"""What becomes of I and İ in lower case: without a dot, or with one more."""


def folded(text: str) -> str:
    """`text` compatibility-composed and case-folded (Unicode's NFKC and casefold): École and E + ´ + cole are école, STRASSE
    and straße strasse, ﬁ and ﬀ letters, full-width letters plain. The four letters I of Turkish are one, so that ISPARTA and
    istanbul find Isparta and İstanbul, however they were typed. Folding twice changes nothing."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", TURKISH_I.sub("i", text))


def spellings(text: str) -> tuple[str, ...]:
    """The ways in which the characters of `text` may be composed: as it is, composed, decomposed."""
    return tuple(dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))))
