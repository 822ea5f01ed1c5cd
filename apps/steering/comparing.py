"""Two texts side by side: which tokens differ, and runs of equal or differing ones joined for the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from workers.engine.text.spelling import Spelling
from workers.engine.text.tokens import token_texts


@dataclass(frozen=True)
class Run:
    """A stretch of text that the other version has too, or has not."""

    text: str
    differs: bool


def compare(baseline: Sequence[str], steered: Sequence[str], spelling: Spelling) -> tuple[list[Run], list[Run]]:
    """Both token lists as runs, by their longest common subsequence of blocks."""
    shared_left, shared_right = set(), set()
    for block in SequenceMatcher(None, baseline, steered, autojunk=False).get_matching_blocks():
        shared_left |= set(range(block.a, block.a + block.size))
        shared_right |= set(range(block.b, block.b + block.size))
    return _runs(baseline, shared_left, spelling), _runs(steered, shared_right, spelling)


def _runs(tokens: Sequence[str], shared: set[int], spelling: Spelling) -> list[Run]:
    texts = token_texts(tokens, spelling)
    grouped = groupby(range(len(texts)), key=lambda place: place not in shared)
    return [Run("".join(texts[place] for place in places), differs) for differs, places in grouped]
