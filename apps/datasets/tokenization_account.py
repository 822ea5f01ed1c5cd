"""The account of a tokenization's tokens: what the text gave, what is stored, what was left out, and whether it adds up."""

from dataclasses import dataclass
from typing import Any

from apps.datasets.models import Tokenization
from apps.datasets.tokenization_selectors import duplicate_share
from apps.language_models.vocabulary import vocabulary_of
from workers.engine.specs.tokenization import DROP_REASONS
from workers.engine.text.decoding import visible

MADE = (
    ("document_tokens", "Tokens of the text"),
    ("join_tokens", "end-of-text tokens between documents"),
    ("bos_tokens", "first tokens of contexts"),
    ("repeated_tokens", "repeated where contexts overlap"),
)
LEFT_OUT = (
    ("filtered_tokens", "taken out by the token filter"),
    ("truncated_tokens", "cut off long documents"),
    ("dropped_tokens", "in the last, incomplete contexts"),
    ("dropped_document_tokens", "of documents dropped as short or junk"),
)


@dataclass(frozen=True)
class AccountLine:
    """One term of the sum; `sign` is "", "+" or "="."""

    sign: str
    words: str
    tokens: int


@dataclass(frozen=True)
class DroppedRows:
    """How many rows made no document for one reason (a key of DROP_REASONS)."""

    reason: str
    words: str
    rows: int


@dataclass(frozen=True)
class MarkToken:
    """A token that the tokenizer sets at a border: its use in words, its id and its text."""

    words: str
    token_id: int
    text: str


def mark_tokens(tokenization: Tokenization) -> list[MarkToken]:
    """What each context begins with, and the tokenizer's own first and end-of-text tokens, those that it has."""
    known = [
        ("Contexts begin with", "first_token_id"),
        ("First token (BOS)", "bos_token_id"),
        ("End of text (EOS)", "eos_token_id"),
    ]
    found = [(words, tokenization.report[name]) for words, name in known if tokenization.report.get(name) is not None]
    texts = vocabulary_of(tokenization.language_model_id).raw(token_id for _, token_id in found) if found else []
    return [MarkToken(words, token_id, visible(text)) for (words, token_id), text in zip(found, texts)]


def tokenization_account(tokenization: Tokenization) -> dict[str, Any]:
    """`account`: AccountLines, what was made first; `adds_up`; `dropped`: DroppedRows of reasons that occurred;
    `coverage`: distinct tokens / vocabulary size, with `distinct_words`; `duplicates`: share of documents, None if unknown;
    `marks`: MarkTokens."""
    report = tokenization.report
    if not report:
        return {"coverage": None, "adds_up": True, "account": [], "dropped": [], "duplicates": None, "marks": []}
    made = [AccountLine("+", words, report.get(name, 0)) for name, words in MADE]
    left_out = [AccountLine("+", words, report.get(name, 0)) for name, words in LEFT_OUT]
    stored = AccountLine("=", "stored in contexts", tokenization.tokens)
    counts = report.get("dropped_rows", {})
    return {
        "coverage": report["distinct_tokens"] / report["vocab_size"],
        "distinct_words": f"{report['distinct_tokens']:,} distinct",
        "duplicates": duplicate_share(tokenization),
        "marks": mark_tokens(tokenization),
        "account": _shown([*made, stored, *left_out]),
        "adds_up": sum(line.tokens for line in made) == sum(line.tokens for line in [stored, *left_out]),
        "dropped": [DroppedRows(key, words, counts[key]) for key, words in DROP_REASONS.items() if counts.get(key)],
    }


def _shown(lines: list[AccountLine]) -> list[AccountLine]:
    """Without terms of nothing, which most tokenizations have several of; the first line has no sign."""
    first, *rest = lines
    return [AccountLine("", first.words, first.tokens), *[line for line in rest if line.tokens or line.sign == "="]]
