"""What sparse steps do with rows, by PyTorch's operations on any device, or by numba's on a CPU where it is installed.

Weighted sums of rows are embedding bags in both (pairs.py). What is left, and where compiled loops are several times as fast,
is here: finding the pairs that matter in a chunk of pre-activations, and their dot products. Both ways choose the same pairs,
equals aside; sums differ in their last bits, so a run stays with the way that it began with (training/run.py).

Shapes: C rows of pre-activations p, F columns, K chosen in each row; N pairs (row, column) in order of rows; B rows of
width D in x.
"""

from importlib import import_module
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

SUM = 0  # embedding_bag's number for mode="sum"


class SparseRows:
    """By PyTorch's operations."""

    NAME: ClassVar[str] = "torch"

    def top_k(self, p_CF: Tensor, weight_F: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k columns of each row with the largest p · weight (C, K), and their p. NaN counts as the largest."""
        column_CK = (p_CF * weight_F).topk(k, dim=-1, sorted=False).indices
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
