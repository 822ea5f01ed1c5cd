"""Which positions count. Position 0 and sink tokens carry enormous norms and would decide every statistic alone; places
behind the last token of a context are no tokens at all. They stand to the right, so that under causal attention no token
sees them: the forward pass needs no mask.

Shapes: B contexts, T tokens in a context, D d_in.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def position_norms(x_BTD: Tensor) -> Tensor:
    """Euclidean norms (B, T) in float32."""
    return x_BTD.float().norm(dim=-1)


def is_one_of(ids: Tensor, token_ids: Sequence[int]) -> Tensor:
    """Boolean mask of the shape of `ids`: True where a token is one of `token_ids`."""
    if not token_ids:
        return torch.zeros_like(ids, dtype=torch.bool)
    return torch.isin(ids, torch.tensor(token_ids, dtype=ids.dtype, device=ids.device))


def included_positions(x: Tensor, sink_threshold: float | None, is_token_BT: Tensor | None = None) -> Tensor:
    """Boolean mask (B, T): True for positions other than 0 whose norm does not exceed `sink_threshold` (None: no limit).

    `x` holds activations (B, T, D) or their norms (B, T), of whole contexts: column 0 is position 0. `is_token_BT` marks
    the places that are tokens (`Contexts.is_token`) and not left out for their id (`is_one_of`); None: all.
    """
    norms_BT = position_norms(x) if x.ndim == 3 else x
    limit = torch.inf if sink_threshold is None else sink_threshold
    mask_BT = norms_BT <= limit
    mask_BT[:, 0] = False
    return mask_BT if is_token_BT is None else mask_BT & is_token_BT.to(mask_BT.device)
