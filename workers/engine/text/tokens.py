"""From a tokenizer's raw token strings to the text they stand for, piece by piece.

A raw token is how the vocabulary spells a token: "Ġthe" in byte-level BPE, "▁the" or "<0xE2>" in SentencePiece,
"##ing" in WordPiece, "the</w>" in the BPE of CLIP. `token_texts` gives as many texts as it gets tokens, so that
activations stay aligned: a character whose bytes lie in several tokens is shown on the first of them, the rest show
what is left of them (often nothing). Joined, the texts are what the tokenizer's decode gives.

No tokenizer library is needed, so the web process can render stored token strings.
"""

import codecs
import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

SPACE_MARK = "▁"
BYTE_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
END_OF_WORD = "</w>"


class TokenScheme(StrEnum):
    """How a vocabulary spells spaces and bytes."""

    BYTE_LEVEL = "byte_level"
    SENTENCEPIECE = "sentencepiece"
    WORDPIECE = "wordpiece"
    END_OF_WORD = "end_of_word"
    PLAIN = "plain"


@dataclass(frozen=True)
class TokenPiece:
    """The part of the text that one token stands for."""

    text: str
    joins_previous: bool = False
    """The token begins inside a character that is shown on an earlier token."""


def token_scheme(raw_tokens: Iterable[str]) -> TokenScheme:
    """The scheme of a vocabulary: the one whose marks most tokens carry. A whole vocabulary gives a sure answer."""
    counts = dict.fromkeys(TokenScheme, 0)
    for token in raw_tokens:
        if token.startswith(("Ġ", "Ċ")):
            counts[TokenScheme.BYTE_LEVEL] += 1
        elif token.startswith(SPACE_MARK) or BYTE_FALLBACK.fullmatch(token):
            counts[TokenScheme.SENTENCEPIECE] += 1
        elif token.startswith("##") and len(token) > 2:
            counts[TokenScheme.WORDPIECE] += 1
        elif token.endswith(END_OF_WORD):
            counts[TokenScheme.END_OF_WORD] += 1
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else TokenScheme.PLAIN


def token_texts(raw_tokens: Sequence[str], scheme: TokenScheme | str | None = None) -> list[str]:
    """What each token shows, one text per token. Without `scheme` it is guessed from these tokens alone."""
    return [piece.text for piece in token_pieces(raw_tokens, scheme)]


def token_pieces(raw_tokens: Sequence[str], scheme: TokenScheme | str | None = None) -> list[TokenPiece]:
    """Like `token_texts`, and says of each token whether it begins inside a character shown earlier."""
    match TokenScheme(scheme) if scheme else token_scheme(raw_tokens):
        case TokenScheme.BYTE_LEVEL:
            return _merged([_byte_level_bytes(token) for token in raw_tokens])
        case TokenScheme.SENTENCEPIECE:
            return _merged([_sentencepiece_bytes(token) for token in raw_tokens])
        case TokenScheme.WORDPIECE:
            return [TokenPiece(_wordpiece_text(token, place)) for place, token in enumerate(raw_tokens)]
        case TokenScheme.END_OF_WORD:
            return [TokenPiece(token.replace(END_OF_WORD, " ")) for token in raw_tokens]
        case _:
            return [TokenPiece(token) for token in raw_tokens]


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _byte_level_bytes(token: str) -> bytes:
    """The bytes a token stands for. Added tokens are spelled plainly and may hold characters outside the table."""
    table = _byte_of_character()
    if all(character in table for character in token):
        return bytes(table[character] for character in token)
    return token.encode("utf-8", "replace")


def _sentencepiece_bytes(token: str) -> bytes:
    if found := BYTE_FALLBACK.fullmatch(token):
        return bytes([int(found[1], 16)])
    return token.replace(SPACE_MARK, " ").encode("utf-8", "replace")


def _wordpiece_text(token: str, place: int) -> str:
    if token.startswith("##") and len(token) > 2:
        return token[2:]
    return f" {token}" if place else token


def _merged(parts: Sequence[bytes]) -> list[TokenPiece]:
    """Decode the parts as one UTF-8 stream; each character goes to the part in which it begins.

    Bytes that are no UTF-8 show as U+FFFD, as every tokenizer's decode shows them.
    """
    try:  # most often each part is whole characters
        return [TokenPiece(part.decode()) for part in parts]
    except UnicodeDecodeError:
        return _merged_bytes(parts)


def _merged_bytes(parts: Sequence[bytes]) -> list[TokenPiece]:
    """Byte by byte, for characters that are split over parts."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    texts = [""] * len(parts)
    joins = [False] * len(parts)
    begun_in = 0
    for place, part in enumerate(parts):
        joins[place] = bool(part) and _is_inside_character(decoder) and 0x80 <= part[0] < 0xC0
        for byte in part:
            was_inside = _is_inside_character(decoder)
            characters = decoder.decode(bytes([byte]))
            if was_inside and characters:
                texts[begun_in] += characters[0]
                characters = characters[1:]
            texts[place] += characters
            if _is_inside_character(decoder) and (not was_inside or byte >= 0xC0):
                begun_in = place
    if rest := decoder.decode(b"", final=True):
        texts[begun_in] += rest
    return [TokenPiece(text, joined) for text, joined in zip(texts, joins)]


def _is_inside_character(decoder: codecs.IncrementalDecoder) -> bool:
    return bool(decoder.getstate()[0])
