"""What a tokenization's statistics.safetensors says: tokens by rank and documents by length, as numbers and charts.

Tokenizations made before that file existed have none: `statistics_read` gives None for them. Rank-frequency curves
follow Zipf (1949): the r-th most frequent token of a natural text occurs about 1/r as often as the first.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from apps.core.charts import Chart, Series
from apps.core.errors import AppError
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_selectors import duplicate_share, tokenization_folder
from apps.language_models.vocabulary import vocabulary_of
from workers.engine.text.decoding import visible

TOP_TOKENS = 30
CURVE_POINTS = 200
LENGTH_BINS = 40


@dataclass(frozen=True)
class Statistics:
    """`token_counts` (vocabulary,) and `length_counts` (longest + 1,), int64."""

    token_counts: np.ndarray
    length_counts: np.ndarray


@dataclass(frozen=True)
class TopToken:
    """One of the most frequent tokens; `share` is of all stored document tokens."""

    rank: int
    token_id: int
    text: str
    count: int
    share: float


def statistics_read(tokenization: Tokenization) -> Statistics | None:
    """The file of a ready tokenization; None when it was made without one. AppError when it is broken."""
    path = tokenization_folder(tokenization.pk) / "statistics.safetensors"
    if not path.exists():
        return None
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, SafetensorError):
        raise AppError(
            "bad_artifact", f"The statistics of {tokenization} cannot be read.", "Tokenize again.", status=409
        ) from None


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> Statistics:
    with safe_open(path, framework="numpy") as file:
        return Statistics(file.get_tensor("token_counts"), file.get_tensor("length_counts"))


def top_tokens(tokenization: Tokenization, statistics: Statistics, count: int = TOP_TOKENS) -> list[TopToken]:
    """The most frequent tokens, the first first; tokens that never occur are not among them."""
    counts = statistics.token_counts
    order = np.argsort(-counts, kind="stable")[:count]
    ids = [int(token_id) for token_id in order if counts[token_id] > 0]
    vocabulary = vocabulary_of(tokenization.language_model_id)
    total = int(counts.sum())
    texts = [vocabulary.text(token_id) or vocabulary.raw([token_id])[0] for token_id in ids]
    return [
        TopToken(rank, token_id, visible(text), int(counts[token_id]), int(counts[token_id]) / total)
        for rank, (token_id, text) in enumerate(zip(ids, texts), start=1)
    ]


def rank_curve(statistics: Statistics) -> tuple[list[int], list[int]]:
    """(ranks, counts) of tokens that occur, at ranks even on a log scale: 1, 2, 3, … 10, 12, …"""
    counts = np.sort(statistics.token_counts[statistics.token_counts > 0])[::-1]
    if not len(counts):
        return [], []
    ranks = np.unique(np.geomspace(1, len(counts), CURVE_POINTS).round().astype(int))
    return ranks.tolist(), counts[ranks - 1].tolist()


def rank_chart(statistics: Statistics) -> Chart:
    """How often the r-th most frequent token occurs, with the line that Zipf's law draws from the first."""
    ranks, counts = rank_curve(statistics)
    first = counts[0] if counts else 0
    once = int((statistics.token_counts == 1).sum())
    return Chart(
        id="rank-frequency",
        title="Tokens by rank",
        x_title="rank",
        y_title="times in the text",
        series=[
            Series("tokens", ranks, counts),
            Series("1 / rank", [rank for rank in ranks if rank <= first], [first / r for r in ranks if r <= first]),
        ],
        x_type="log",
        y_type="log",
        can_log_x=True,
        can_log_y=True,
        help="Natural text lies near the line 1/rank. A flat beginning or a cliff speaks of filters, templates or "
        "another language than the tokenizer's.",
        summary=f"{distinct_tokens(statistics):,} different tokens occur, {once:,} of them once; the first {first:,} times.",
    )


def distinct_tokens(statistics: Statistics) -> int:
    """Tokens of the vocabulary that occur in the documents."""
    return int((statistics.token_counts > 0).sum())


def length_bins(statistics: Statistics) -> list[tuple[int, int, int]]:
    """(first length, last length, documents) over equal spans of lengths; longest lengths are in the last one."""
    lengths = np.nonzero(statistics.length_counts)[0]
    if not len(lengths):
        return []
    least, most = int(lengths[0]), int(lengths[-1])
    width = max(1, -(-(most - least + 1) // LENGTH_BINS))
    starts = range(least, most + 1, width)
    return [(at, min(at + width - 1, most), int(statistics.length_counts[at : at + width].sum())) for at in starts]


def length_chart(tokenization: Tokenization, statistics: Statistics) -> Chart:
    """Documents by their number of tokens."""
    bins = length_bins(statistics)
    return Chart(
        id="document-lengths",
        title="Documents by length",
        x_title="tokens in a document",
        y_title="documents",
        series=[
            Series(
                "documents",
                [(first + last) / 2 for first, last, _ in bins],
                [documents for _, _, documents in bins],
                kind="bar",
                labels=[f"{first} to {last} tokens" if first < last else f"{first} tokens" for first, last, _ in bins],
            )
        ],
        can_log_y=True,
        help="A document longer than a context is cut into several, or truncated where that was asked for.",
        summary=_length_words(tokenization, statistics),
    )


def _length_words(tokenization: Tokenization, statistics: Statistics) -> str:
    counts = statistics.length_counts
    documents = int(counts.sum())
    if not documents:
        return "No documents."
    median = int(np.searchsorted(np.cumsum(counts), documents / 2))
    longer = int(counts[tokenization.context_length + 1 :].sum())
    return (
        f"The median document has {median:,} tokens; {longer:,} of {documents:,} are longer than a context of "
        f"{tokenization.context_length:,}."
    )


def statistics_json(tokenization: Tokenization) -> dict[str, Any]:
    """The statistics as the API and the command show them; null where the tokenization was made without them."""
    statistics = statistics_read(tokenization) if tokenization.is_ready else None
    shown: dict[str, Any] = {"duplicate_share": duplicate_share(tokenization), "rank_curve": None}
    shown |= {"top_tokens": None, "document_lengths": None}
    if statistics is None:
        return shown
    ranks, counts = rank_curve(statistics)
    return shown | {
        "rank_curve": {"rank": ranks, "count": counts},
        "top_tokens": [vars(token) for token in top_tokens(tokenization, statistics)],
        "document_lengths": [
            {"least": first, "most": last, "documents": documents} for first, last, documents in length_bins(statistics)
        ],
    }
