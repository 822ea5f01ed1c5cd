"""How a tokenizer spells text in its token strings: a fact of the tokenizer, never guessed from the tokens at hand.

The engine takes it from the tokenizer when a language model is imported (language_models/spelling.py) and stores it with
the vocabulary; pages and commands read it from there. Standard library only.
"""

import json
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

VOCABULARY_NAME = "vocabulary.parquet"
SPELLING_SCHEMA = 1
SPELLING_KEY = b"mistudio.spelling"
"""Under this key of the schema's metadata vocabulary.parquet holds `Spelling.dump`."""
FIRST_TOKEN_KEY = b"mistudio.first_token"
"""And under this one `FirstToken.dump`."""
SPACE_MARK = "▁"
WORD_PART = "##"
END_OF_WORD = "</w>"


class TokenScheme(StrEnum):
    """How a vocabulary spells spaces and bytes."""

    BYTE_LEVEL = "byte_level"
    """Each character is a byte, by GPT-2's table: "Ġthe"."""
    SENTENCEPIECE = "sentencepiece"
    """Spaces are marked: "▁the"; with `has_bytes` there are single bytes too: "<0xE2>"."""
    WORDPIECE = "wordpiece"
    """Parts of words are marked: "##ing"."""
    END_OF_WORD = "end_of_word"
    """Ends of words are marked: "the</w>"."""
    PLAIN = "plain"
    """Tokens are what they spell."""


MARKS = {
    TokenScheme.SENTENCEPIECE: SPACE_MARK,
    TokenScheme.WORDPIECE: WORD_PART,
    TokenScheme.END_OF_WORD: END_OF_WORD,
}


@dataclass(frozen=True)
class Spelling:
    """The scheme of a vocabulary, and the tokens that stand outside of it."""

    scheme: TokenScheme
    literal: frozenset[str] = frozenset()
    """Added tokens: they are found in the text as they are written, whatever their letters would mean in the scheme."""
    mark: str = ""
    """The scheme's own mark where it is not the usual one of MARKS; for bytes, what ends a word ("" for nothing)."""
    has_bytes: bool = False
    """Whether "<0xE2>" is a byte, in SentencePiece."""

    @property
    def marked(self) -> str:
        """The mark in force."""
        return self.mark or MARKS.get(self.scheme, "")

    def dump(self) -> str:
        """As it is stored beside a vocabulary."""
        known = {"schema": SPELLING_SCHEMA, "scheme": self.scheme, "literal": sorted(self.literal)}
        return json.dumps(known | {"mark": self.mark, "has_bytes": self.has_bytes})

    @classmethod
    def load(cls, metadata: dict[bytes, bytes] | None) -> Self | None:
        """From a Parquet schema's metadata; None where none is stored, or one of another schema."""
        stored: dict[str, Any] = json.loads((metadata or {}).get(SPELLING_KEY, b"{}"))
        if stored.get("schema") != SPELLING_SCHEMA:
            return None
        scheme, literal = TokenScheme(stored["scheme"]), frozenset(stored["literal"])
        return cls(scheme, literal, stored["mark"], stored["has_bytes"])


@dataclass(frozen=True)
class FirstToken:
    """The token that a context begins with where its tokenization asks for one."""

    token_id: int | None
    """None where the tokenizer has neither a first nor a last token."""
    is_put_by_tokenizer: bool
    """Whether the model's own tokenizer puts it before every text, as the model was then trained to expect."""

    def dump(self) -> str:
        """As it is stored beside a vocabulary."""
        return json.dumps(vars(self))

    @classmethod
    def load(cls, metadata: dict[bytes, bytes] | None) -> Self | None:
        """From a Parquet schema's metadata; None where none is stored."""
        stored = (metadata or {}).get(FIRST_TOKEN_KEY)
        return None if stored is None else cls(**json.loads(stored))


def spelling_is_current(path: Path) -> bool:
    """Whether a vocabulary file holds a Spelling of this schema and a FirstToken.

    Looks at the footer alone, where Parquet keeps metadata as it is: the studio's start asks this of every model and needs no
    Parquet library for it.

    Format: … footer, 4 bytes with the footer's length, little-endian, "PAR1".
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 8))
            tail = file.read()
            if len(tail) < 8 or tail[4:] != b"PAR1":
                return False
            file.seek(max(0, size - 8 - struct.unpack("<I", tail[:4])[0]))
            footer = file.read()
    except OSError:
        return False
    return all(known in footer for known in (SPELLING_KEY, FIRST_TOKEN_KEY, b'{"schema": %d,' % SPELLING_SCHEMA))
