"""Words from tokens: which tokens of a context make up one word.

A word is a run of whole tokens with the blank before it, as tokenizers cut text themselves, so the words of a context join
to its text and every token belongs to exactly one word. A new word begins at a token

    - that opens with white space, or follows white space (a lone blank belongs to what follows it),
    - or where, between the last character before it and its own first, Unicode's word segmentation (UAX #29) has a border:
      around punctuation, symbols and ideographs; not within letters, digits and "_", not inside "don't", "3.5" or "e.g",
      not before accents and what joins emoji.

A token that spans a border (").", "\\n\\n") is not cut. Tokens of one character whose bytes are split over them stay
together. Vocabularies without marks (PLAIN) show no blanks, so there only the second rule tells words apart.

Standard library only: pages group stored token strings.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workers.engine.text.spelling import Spelling
from workers.engine.text.tokens import TokenPiece, token_pieces

BLANK = " "
ZERO_WIDTH_JOINER = "\u200d"
APOSTROPHES = "'’"
BETWEEN_LETTERS = frozenset(".:·" + APOSTROPHES)
"""Marks that join the letters on both sides of them: MidLetter and MidNumLet of UAX #29."""
BETWEEN_DIGITS = frozenset(".,;" + APOSTROPHES)
"""Marks that join the digits on both sides of them: MidNum and MidNumLet."""


@dataclass(frozen=True)
class Word:
    """Tokens `start` to `stop`, excluded, and the text they show, with the blank before it."""

    text: str
    start: int
    stop: int


def words(raw_tokens: Sequence[str], spelling: Spelling) -> list[Word]:
    """The words of raw token strings."""
    return words_of_pieces(token_pieces(raw_tokens, spelling))


def words_by_offsets(text: str, offsets: Iterable[tuple[int, int]]) -> list[Word]:
    """The words of `text` from its tokens' character offsets (start, stop), as a tokenizer returns them.

    What lies between two tokens (white space that a tokenizer drops) is shown on the later one; the rest of the text on the
    last token.
    """
    pieces, shown = [], 0
    for start, stop in offsets:
        pieces.append(TokenPiece(text[shown : max(stop, shown)], joins_previous=start < min(shown, stop)))
        shown = max(stop, shown)
    if pieces and shown < len(text):
        pieces[-1] = TokenPiece(pieces[-1].text + text[shown:], pieces[-1].joins_previous)
    return words_of_pieces(pieces)


def words_of_pieces(pieces: Sequence[TokenPiece]) -> list[Word]:
    """The words of tokens whose texts are known."""
    text = "".join(piece.text for piece in pieces)
    found: list[Word] = []
    start = begun = at = 0
    for place, piece in enumerate(pieces):
        if place and _begins(piece, text, begun, at):
            found.append(Word(text[begun:at], start, place))
            start, begun = place, at
        at += len(piece.text)
    if pieces:
        found.append(Word(text[begun:], start, len(pieces)))
    return found


def word_at(found: Sequence[Word], token: int) -> int:
    """The place in `found` of the word that has this token. IndexError when none has."""
    for place, word in enumerate(found):
        if word.start <= token < word.stop:
            return place
    raise IndexError(f"no word has token {token}")


def _begins(piece: TokenPiece, text: str, begun: int, at: int) -> bool:
    """Whether a word begins with the token that `text` shows from `at` on; the word before it begins at `begun`."""
    if piece.joins_previous:
        return False
    if not piece.text or begun == at or text[at].isspace():
        return True
    if text[at - 1].isspace():
        return text[begun:at] != BLANK
    return _is_border(text, at)


def _is_border(text: str, at: int) -> bool:
    """Whether a word ends before the character `at`, which is no white space and does not follow any."""
    right = text[at]
    if _extends(right) or text[at - 1] == ZERO_WIDTH_JOINER:
        return False
    before = _base(text, at - 1)
    left, earlier = text[before], text[_base(text, before - 1)] if before else ""
    if _is_wordlike(left) and _is_wordlike(right):
        return _is_ideograph(left) or _is_ideograph(right)
    if _is_wordlike(left):
        return not _joins(left, right, next((c for c in text[at + 1 :] if not _extends(c)), ""))
    if _is_wordlike(right):
        return not _joins(right, left, earlier)
    return True


def _base(text: str, at: int) -> int:
    """The place of the character to which the one `at` belongs: itself, or that before accents."""
    while at and _extends(text[at]):
        at -= 1
    return at


def _joins(inner: str, mark: str, outer: str) -> bool:
    """Whether `mark` between two letters, or two digits, belongs to their word."""
    if mark in BETWEEN_LETTERS and inner.isalpha() and outer.isalpha():
        return not (_is_ideograph(inner) or _is_ideograph(outer))
    return mark in BETWEEN_DIGITS and inner.isnumeric() and outer.isnumeric()


def _extends(character: str) -> bool:
    """Accents, vowel signs, joiners and skin tones belong to the character before them."""
    is_skin_tone = "\U0001f3fb" <= character <= "\U0001f3ff"
    return is_skin_tone or unicodedata.category(character) in ("Mn", "Me", "Mc", "Cf")


def _is_wordlike(character: str) -> bool:
    return character == "_" or character.isalnum()


def _is_ideograph(character: str) -> bool:
    """Characters of scripts that are written without blanks and of which each is a word by UAX #29."""
    return character >= "\u2e80" and unicodedata.name(character, "").startswith(("CJK", "HIRAGANA"))
