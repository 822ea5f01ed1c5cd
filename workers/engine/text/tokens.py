"""From a tokenizer's raw token strings to the text they stand for, piece by piece.

A raw token is how the vocabulary spells a token: "Ġthe" in byte-level BPE, "▁the" or "<0xE2>" in SentencePiece,
"##ing" in WordPiece, "the</w>" in the BPE of CLIP. `token_texts` gives as many texts as it gets tokens, so that
activations stay aligned: a character whose bytes lie in several tokens is shown on the first of them, the rest show
what is left of them (often nothing). Joined, the texts are what was cut into these tokens.

No tokenizer library is needed, so the web process can render stored token strings.
"""

import codecs
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from workers.engine.text.spelling import Spelling, TokenScheme

BYTE_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class TokenPiece:
    """The part of the text that one token stands for."""

    text: str
    joins_previous: bool = False
    """The token begins inside a character that is shown on an earlier token."""


def token_texts(raw_tokens: Sequence[str], spelling: Spelling) -> list[str]:
    """What each token shows, one text per token."""
    return [piece.text for piece in token_pieces(raw_tokens, spelling)]


def token_pieces(raw_tokens: Sequence[str], spelling: Spelling) -> list[TokenPiece]:
    """Like `token_texts`, and says of each token whether it begins inside a character shown earlier."""
    match spelling.scheme:
        case TokenScheme.BYTE_LEVEL:
            return _merged([_byte_level_bytes(token, spelling) for token in raw_tokens])
        case TokenScheme.SENTENCEPIECE:
            return _merged([_sentencepiece_bytes(token, spelling) for token in raw_tokens])
        case TokenScheme.WORDPIECE:
            return [TokenPiece(_wordpiece_text(token, place, spelling)) for place, token in enumerate(raw_tokens)]
        case TokenScheme.END_OF_WORD:
            return [TokenPiece(_end_of_word_text(token, spelling)) for token in raw_tokens]
        case _:
            return [TokenPiece(token) for token in raw_tokens]


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _byte_level_bytes(token: str, spelling: Spelling) -> bytes:
    """The bytes a token stands for. What holds characters outside the table is spelled plainly."""
    table = _byte_of_character()
    if token in spelling.literal or not all(character in table for character in token):
        return token.encode("utf-8", "replace")
    ends_word = bool(spelling.mark) and token.endswith(spelling.mark)
    spelled = token.removesuffix(spelling.mark) if ends_word else token
    return bytes(table[character] for character in spelled) + b" " * ends_word


def _sentencepiece_bytes(token: str, spelling: Spelling) -> bytes:
    if token in spelling.literal:
        return token.encode("utf-8", "replace")
    if spelling.has_bytes and (found := BYTE_FALLBACK.fullmatch(token)):
        return bytes([int(found[1], 16)])
    return token.replace(spelling.marked, " ").encode("utf-8", "replace")


def _wordpiece_text(token: str, place: int, spelling: Spelling) -> str:
    if token not in spelling.literal and token.startswith(spelling.marked) and len(token) > len(spelling.marked):
        return token.removeprefix(spelling.marked)
    return f" {token}" if place else token


def _end_of_word_text(token: str, spelling: Spelling) -> str:
    return token if token in spelling.literal else token.replace(spelling.marked, " ")


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
