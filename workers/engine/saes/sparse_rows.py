"""What sparse steps do with rows, by PyTorch's operations on any device, or by numba's on a CPU where it is installed.

Weighted sums of rows are embedding bags in both (pairs.py). What is left, and where compiled loops are several times as fast,
is here: finding the pairs that matter in a chunk of pre-activations, and their dot products. Both ways choose the same pairs,
equals aside; sums differ in their last bits, so a run stays with the way that it began with (training/run.py).

Shapes: C rows of pre-activations p, F columns, K chosen in each row; N pairs (row, column) in order of rows; B rows of
width D in x.
"""

from importlib import import_module
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

SUM = 0  # embedding_bag's number for mode="sum"


class Interval(NamedTuple):
    """Where the exact value of each pair lies: p + low ± (share |p| + radius · norm) ± (high - low); NaN says anywhere.

    Bounds keep their word when computed in float32 in any way. `p_CF` may be bfloat16; all others are float32.
    """

    p_CF: Tensor
    share: float
    radius_C: Tensor
    norm_F: Tensor
    low_F: Tensor
    high_F: Tensor


class SparseRows:
    """By PyTorch's operations."""

    NAME: ClassVar[str] = "torch"

    def top_k(self, p_CF: Tensor, weight_F: Tensor, k: int, bias_F: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The k columns of each row with the largest (p + bias) · weight (C, K), and their p, without the bias. NaN counts as
        the largest."""
        score_CF = p_CF if bias_F is None else p_CF + bias_F
        column_CK = (score_CF * weight_F).topk(k, dim=-1, sorted=False).indices
        return column_CK, p_CF.gather(1, column_CK)

    def above(self, p_CF: Tensor, floor_F: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and p of all p that are not at or below their column's floor, NaN too: (N,) each."""
        place_N = places_of_true((p_CF <= floor_F).logical_not_().view(-1))
        row_N = place_N.div(p_CF.shape[1], rounding_mode="floor")
        return row_N, place_N - row_N * p_CF.shape[1], p_CF.view(-1)[place_N]

    def dot(self, row_N: Tensor, starts_B: Tensor, column_N: Tensor, x_BD: Tensor, W_FD: Tensor) -> Tensor:
        """x[row] · W[column] of each pair (N,); `starts_B` says where each row's pairs begin."""
        # the backward of an embedding bag for its weights
        return torch.ops.aten._embedding_bag_per_sample_weights_backward(x_BD, W_FD, column_N, starts_B, row_N, SUM, -1)

    def candidates(self, interval: Interval, scale_F: Tensor, k: int | None) -> tuple[Tensor, Tensor]:
        """Rows and columns, ascending, (N,) each, of all that may be at least 0 and, with k, among a row's k largest when
        multiplied by scale_F (not below 0)."""
        slack_CF = interval.p_CF.float().abs().mul_(interval.share)
        slack_CF.addcmul_(interval.radius_C[:, None], interval.norm_F)
        upper_CF = (interval.p_CF + slack_CF).add_(interval.high_F).mul_(scale_F)
        floor_C = upper_CF.new_zeros(len(upper_CF))
        if k is not None:
            lower_CF = slack_CF.neg_().add_(interval.p_CF).add_(interval.low_F).mul_(scale_F).nan_to_num_(nan=0.0)
            floor_C = lower_CF.topk(k, dim=-1, sorted=False).values.amin(-1).clamp_(min=0)
        place_N = places_of_true((upper_CF < floor_C[:, None]).logical_not_().view(-1))
        row_N = place_N.div(upper_CF.shape[1], rounding_mode="floor")
        return row_N, place_N - row_N * upper_CF.shape[1]

    def dot_in_float64(self, row_N: Tensor, column_N: Tensor, x_CD: Tensor, W_FD: Tensor) -> Tensor:
        """x[row] · W[column] of each pair (N,) in float64, summed in any order; rows ascend."""
        size_C = torch.bincount(row_N, minlength=len(x_CD))
        return SparseRows.dot(self, row_N, size_C.cumsum(0) - size_C, column_N, x_CD.double(), W_FD.double())

    def largest(self, row_N: Tensor, value_N: Tensor, k: int) -> Tensor:
        """Places (M,), ascending, of the k largest values of each row, of equal ones the first; no value is NaN, rows
        ascend."""
        order_N = value_N.argsort(descending=True, stable=True)
        order_N = order_N[row_N[order_N].argsort(stable=True)]
        size_R = torch.bincount(row_N)
        rank_N = torch.arange(len(row_N), device=row_N.device) - (size_R.cumsum(0) - size_R)[row_N]
        return order_N[rank_N < k].sort().values


TORCH_ROWS = SparseRows()


def rows_for(device: str | torch.device, name: str | None = None) -> SparseRows:
    """The fastest way there is on `device`; on a CPU the one called `name`, if given: ImportError when it is not installed."""
    if name == TORCH_ROWS.NAME or torch.device(device).type != "cpu":
        return TORCH_ROWS
    try:
        return import_module("workers.engine.saes.kernels").NumbaRows()
    except ImportError:
        if name is not None:
            raise
        return TORCH_ROWS


def places_of_true(mask_N: Tensor) -> Tensor:
    """Where a flat mask is true, ascending. NumPy's search is several times faster than PyTorch's on a CPU."""
    if mask_N.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask_N.numpy()))
    return mask_N.nonzero().flatten()
