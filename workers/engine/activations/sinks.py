"""The sink threshold of a hook site, and the sample of a text that it and other numbers measured once are taken from.

A token is a sink when its norm exceeds SINK_FACTOR × the median norm of the site. The median is that of a sample drawn
from all texts alike over the whole of them: neither the order of documents nor batch size, mixing, a run's seed or a limit
of tokens decides it. Caches and trainings on text measure it here; whoever uses an SAE reads the threshold in its EncodeSpec.

Shapes: N contexts, B contexts in a batch, T tokens in a context.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workers.engine.activations.context_order import ContextOrder
from workers.engine.activations.texts import Texts
from workers.engine.specs.activations import SINK_FACTOR
from workers.engine.specs.errors import EngineError

SAMPLE_TOKENS = 16_384
SAMPLE_SEED = 0
"""Decides every sample, so that two measurements on the same texts agree."""


def sample_order(texts: Texts) -> np.ndarray:
    """The contexts (N, 2) to measure on."""
    return contexts_drawn(SAMPLE_TOKENS, texts)


def contexts_drawn(tokens: int, texts: Texts) -> np.ndarray:
    """Contexts (N, 2) from all texts alike that have `tokens` tokens together, the first of each not counted; all when they
    have fewer. Drawn over the whole, in the order in which they lie."""
    order_N2 = ContextOrder(texts.sizes, seed=SAMPLE_SEED).round(0)
    positions_N = np.maximum(texts.lengths(order_N2) - 1, 0).cumsum()
    return as_they_lie(order_N2[: np.searchsorted(positions_N, tokens) + 1])


def as_they_lie(order_N2: np.ndarray) -> np.ndarray:
    """The same contexts with each text read from its beginning to its end; how texts follow each other stays."""
    sorted_N2 = order_N2.copy()
    for text in np.unique(order_N2[:, 0]):
        here = order_N2[:, 0] == text
        sorted_N2[here, 1] = np.sort(order_N2[here, 1])
    return sorted_N2


def sink_threshold(norms: Sequence[Tensor], is_token: Sequence[Tensor]) -> float:
    """SINK_FACTOR × `median_norm` of the sample."""
    return SINK_FACTOR * median_norm(norms, is_token)


def median_norm(norms: Sequence[Tensor], is_token: Sequence[Tensor]) -> float:
    """Over the tokens but the first of each context; both are batches (B, T). Raises EngineError "contexts_too_short"."""
    chosen = torch.cat([norms_BT[:, 1:][is_token_BT[:, 1:]] for norms_BT, is_token_BT in zip(norms, is_token)])
    if not len(chosen):
        raise EngineError(
            "The contexts have one token each: nothing is left without position 0.",
            "Tokenize with longer contexts or documents.",
            code="contexts_too_short",
        )
    return chosen.median().item()
