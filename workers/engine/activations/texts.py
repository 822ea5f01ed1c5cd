"""The contexts of several tokenizations as one: checked against the language model, gathered in any order.

Shapes: N contexts, B contexts at once, T tokens in a context.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.datasets.contexts import Contexts, Part
from workers.engine.language_models.context_fit import contexts_check
from workers.engine.specs.errors import BadArtifact, EngineError

CHECKED_CONTEXTS = 65_536
"""Contexts whose token ids are looked at together."""


@dataclass(frozen=True)
class Texts:
    """One part, "train" or "heldout", of each tokenization."""

    parts: tuple[Contexts, ...]
    names: tuple[str, ...]
    """What a tokenization is called in messages: its folder's name."""

    @classmethod
    def open(cls, folders: Sequence[str | Path], part: Part) -> Self:
        """Map them. Raises BadArtifact; EngineError "context_lengths_differ"."""
        parts = tuple(Contexts.open(folder, part) for folder in folders)
        lengths = {contexts.context_length for contexts in parts}
        if len(lengths) > 1:
            raise EngineError(
                f"The tokenizations have contexts of {', '.join(map(str, sorted(lengths)))} tokens.",
                "Mix tokenizations of one context length.",
                code="context_lengths_differ",
            )
        return cls(parts, tuple(Path(folder).name for folder in folders))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Contexts of each text."""
        return tuple(map(len, self.parts))

    @property
    def context_length(self) -> int:
        return self.parts[0].context_length

    @property
    def token_count(self) -> int:
        return sum(contexts.token_count for contexts in self.parts)

    @property
    def position_count(self) -> int:
        """Tokens other than the first of their context."""
        return sum(int(np.maximum(contexts.lengths.astype(np.int64) - 1, 0).sum()) for contexts in self.parts)

    def lengths(self, order_N2: np.ndarray) -> np.ndarray:
        """(N,) int64: tokens in each of the contexts that `order_N2` names by text and context."""
        out_N = np.empty(len(order_N2), np.int64)
        for text, contexts in enumerate(self.parts):
            here = order_N2[:, 0] == text
            out_N[here] = contexts.lengths[order_N2[here, 1]]
        return out_N

    def gather(self, order_B2: np.ndarray) -> tuple[Tensor, Tensor]:
        """Token ids (B, T) int64 and which places are tokens (B, T), on the CPU."""
        ids_BT = np.empty((len(order_B2), self.context_length), np.int64)
        for text, contexts in enumerate(self.parts):
            here = order_B2[:, 0] == text
            ids_BT[here] = contexts.tokens[order_B2[here, 1]]
        is_token_BT = np.arange(self.context_length) < self.lengths(order_B2)[:, None]
        return torch.from_numpy(ids_BT), torch.from_numpy(is_token_BT)

    def check(self, model: PreTrainedModel) -> None:
        """Raise BadArtifact for a text without contexts, EngineError "tokenizer_mismatch", "context_too_long"."""
        if not all(self.sizes):
            raise BadArtifact("The tokenization has no contexts.", "Tokenize more text.")
        largest_id = max(_largest_id(contexts) for contexts in self.parts)
        contexts_check(model, largest_id=largest_id, context_length=self.context_length)


def _largest_id(contexts: Contexts) -> int:
    starts = range(0, len(contexts), CHECKED_CONTEXTS)
    return max(int(contexts.tokens[start : start + CHECKED_CONTEXTS].max()) for start in starts)
