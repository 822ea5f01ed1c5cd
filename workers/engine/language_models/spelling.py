"""How a tokenizer spells text, read from its own rules: its decoder first, then what cuts the text, then its model.

Added tokens are found in the text as they are written, so they are literal: "Öl" is those two letters, though each of them
is a byte in GPT-2's table. A few vocabularies list tokens among the added ones that their model makes itself (Gemma's runs of
"▁" for spaces): a token that the tokenizer makes of its decoded text is spelled by the scheme, like all others.
"""

import json
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from workers.engine.text.spelling import END_OF_WORD, MARKS, SPACE_MARK, Spelling, TokenScheme
from workers.engine.text.tokens import BYTE_FALLBACK, token_texts

Rules = list[dict[str, Any]]


def spelling_of(tokenizer: PreTrainedTokenizerBase) -> Spelling:
    """The scheme of the tokenizer's vocabulary and its literal tokens."""
    if not tokenizer.is_fast:
        return _of_python(tokenizer)
    backend = tokenizer.backend_tokenizer
    added = [token.content for token in backend.get_added_tokens_decoder().values()]
    scheme = _scheme(backend)
    literal = (token for token in added if not _is_made_by_model(backend, token, scheme))
    return Spelling(scheme.scheme, frozenset(literal), scheme.mark, scheme.has_bytes)


def _scheme(backend: Tokenizer) -> Spelling:
    """Without the added tokens."""
    decoders, cutters = _rules(backend.decoder, "decoders"), _rules(backend.pre_tokenizer, "pretokenizers")
    by_type = {rule["type"]: rule for rule in [*cutters, *decoders]}
    if "ByteLevel" in by_type:
        return Spelling(TokenScheme.BYTE_LEVEL, mark=getattr(backend.model, "end_of_word_suffix", None) or "")
    if "WordPiece" in by_type:
        return _marked(TokenScheme.WORDPIECE, by_type["WordPiece"]["prefix"])
    if "BPEDecoder" in by_type:
        return _marked(TokenScheme.END_OF_WORD, by_type["BPEDecoder"]["suffix"])
    space = by_type["Metaspace"]["replacement"] if "Metaspace" in by_type else _replaced_by_space(decoders)
    if space or "ByteFallback" in by_type:
        return _marked(TokenScheme.SENTENCEPIECE, space or SPACE_MARK, has_bytes="ByteFallback" in by_type)
    if prefix := getattr(backend.model, "continuing_subword_prefix", None):
        return _marked(TokenScheme.WORDPIECE, prefix)
    if suffix := getattr(backend.model, "end_of_word_suffix", None):
        return _marked(TokenScheme.END_OF_WORD, suffix)
    return Spelling(TokenScheme.PLAIN)


def _marked(scheme: TokenScheme, mark: str, *, has_bytes: bool = False) -> Spelling:
    return Spelling(scheme, mark="" if mark == MARKS[scheme] else mark, has_bytes=has_bytes)


def _rules(part: Any, several: str) -> Rules:
    """The rules of a decoder or pre-tokenizer, those of a sequence one by one."""
    if part is None:
        return []
    waiting, found = [json.loads(part.__getstate__())], []
    while waiting:
        rule = waiting.pop(0)
        waiting = [*rule.get(several, []), *waiting]
        found.append(rule)
    return found


def _replaced_by_space(decoders: Rules) -> str:
    """What a decoder writes as a space; "" where none does."""
    for rule in decoders:
        if rule["type"] == "Replace" and rule["content"] == " ":
            return rule["pattern"].get("String", "")
    return ""


def _is_made_by_model(backend: Tokenizer, token: str, scheme: Spelling) -> bool:
    """Whether the text that the scheme makes of an added token is cut into this token. A byte stands for itself alone only
    together with others, so its name tells it."""
    if scheme.has_bytes and BYTE_FALLBACK.fullmatch(token):
        return True
    (text,) = token_texts([token], scheme)
    if text == token:
        return False
    token_id = backend.token_to_id(token)
    # "x" keeps apart what a tokenizer puts before the first word.
    return any(token_id in backend.encode(tried, add_special_tokens=False).ids for tried in (text, f"x{text}"))


def _of_python(tokenizer: PreTrainedTokenizerBase) -> Spelling:
    """Of a tokenizer without rules to read: by the marks that most tokens of its whole vocabulary carry."""
    vocabulary, literal = tokenizer.get_vocab(), frozenset(tokenizer.get_added_vocab())
    carried = {
        TokenScheme.BYTE_LEVEL: sum(token.startswith(("Ġ", "Ċ")) for token in vocabulary),
        TokenScheme.SENTENCEPIECE: sum(token.startswith(SPACE_MARK) for token in vocabulary),
        TokenScheme.WORDPIECE: sum(token.startswith("##") and len(token) > 2 for token in vocabulary),
        TokenScheme.END_OF_WORD: sum(token.endswith(END_OF_WORD) for token in vocabulary),
    }
    scheme = max(carried, key=carried.__getitem__)
    if not carried[scheme]:
        return Spelling(TokenScheme.PLAIN, literal)
    has_bytes = sum(BYTE_FALLBACK.fullmatch(token) is not None for token in vocabulary) == 256
    return Spelling(scheme, literal, has_bytes=has_bytes)
