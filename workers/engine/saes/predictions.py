"""What a language model predicts, and how far predictions lie apart: sums over every token of a context but the first.

Contexts are read one after another: float32 probabilities of all of them would be large.

Shapes: B contexts, T tokens in a context, P tokens predicted in one context, V vocabulary.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from workers.engine.language_models.finite_output import finite_check
from workers.engine.metrics import kl_divergence

PREDICTIONS_HINT = "Choose float32 as the model's precision; if it stays so, the SAE or the model is damaged."


@torch.no_grad()
def next_logits(model: PreTrainedModel, ids_BT: Tensor) -> Tensor:
    """Logits (B, T - 1, V) of the tokens 1…, in the model's dtype. EngineError "output_not_finite"."""
    return finite_check(model(input_ids=ids_BT, use_cache=False).logits[:, :-1], PREDICTIONS_HINT)


def ce_sum(logits_BTV: Tensor, ids_BT: Tensor, is_token_BT: Tensor) -> float:
    """Σ of the cross-entropies of the tokens that came, in nats."""
    return sum(
        cross_entropy(logits_PV, came_P, reduction="sum").item()
        for came_P, logits_PV in _by_context(ids_BT, is_token_BT, logits_BTV)
    )


def ce_tokens(logits_BTV: Tensor, ids_BT: Tensor, is_token_BT: Tensor) -> Tensor:
    """Cross-entropies of the tokens that came, context after context: (P,) float32 in nats."""
    return torch.cat(
        [
            cross_entropy(logits_PV, came_P, reduction="none")
            for came_P, logits_PV in _by_context(ids_BT, is_token_BT, logits_BTV)
        ]
    )


def kl_sum(clean_BTV: Tensor, changed_BTV: Tensor, ids_BT: Tensor, is_token_BT: Tensor) -> float:
    """Σ of KL(clean ‖ changed) over the same predictions, in nats."""
    return sum(
        kl_divergence(clean_PV, changed_PV).sum().item()
        for _, clean_PV, changed_PV in _by_context(ids_BT, is_token_BT, clean_BTV, changed_BTV)
    )


def _by_context(ids_BT: Tensor, is_token_BT: Tensor, *logits: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Of each context the tokens that came (P,) and their logits (P, V) in float32."""
    for row, is_token_T in enumerate(is_token_BT[:, 1:]):
        yield ids_BT[row, 1:][is_token_T], *(each[row][is_token_T].float() for each in logits)
