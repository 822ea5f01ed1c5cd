"""Products in which each token touches only K rows of a weight matrix: gradients of TopK without dense latents.

PyTorch's embedding bag has exactly these kernels, forward and backward; no (B, K, D) block is ever made.

Shapes: B tokens, K rows chosen for each, F rows in all, D their width.
"""

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

SUM = 0  # embedding_bag's number for mode="sum"


def rows_sum(weights_BK: Tensor, rows_BK: Tensor, W_FD: Tensor) -> Tensor:
    """Σ_k weights[b, k] · W[rows[b, k]]: (B, D)."""
    return embedding_bag(rows_BK, W_FD, mode="sum", per_sample_weights=weights_BK)


def rows_dot(x_BD: Tensor, rows_BK: Tensor, W_FD: Tensor) -> Tensor:
    """x[b] · W[rows[b, k]]: (B, K). This is the backward of `rows_sum` with respect to its weights."""
    offsets_B, bag_N = _bags(rows_BK)
    dots_N = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        x_BD, W_FD, rows_BK.reshape(-1), offsets_B, bag_N, SUM, -1
    )
    return dots_N.view_as(rows_BK)


def rows_scatter(weights_BK: Tensor, rows_BK: Tensor, x_BD: Tensor, n_rows: int) -> Tensor:
    """Row r is Σ over (b, k) with rows[b, k] = r of weights[b, k] · x[b]: (F, D). The backward of `rows_sum` for W."""
    _, bag_N = _bags(rows_BK)
    B, K = rows_BK.shape
    bag_size_B = torch.full((B,), K, device=rows_BK.device)
    unused_maxima = torch.empty(0, dtype=torch.long, device=rows_BK.device)
    return torch.ops.aten._embedding_bag_dense_backward(
        x_BD, rows_BK.reshape(-1), bag_N, bag_size_B, unused_maxima, n_rows, False, SUM, weights_BK.reshape(-1), -1
    )


def _bags(rows_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Where each token's rows begin in the flat list, and to which token each entry belongs."""
    B, K = rows_BK.shape
    starts_B = torch.arange(0, B * K, K, device=rows_BK.device)
    return starts_B, torch.arange(B, device=rows_BK.device).repeat_interleave(K)
