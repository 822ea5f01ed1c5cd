"""Which features are near each other: by the direction they write, and by the tokens at which they fire.

    similar     cosine of decoder rows, W_dec,i · W_dec,j / (‖W_dec,i‖ ‖W_dec,j‖)
    coactive    cosine of the 0/1 vectors "fires here" over included positions, n_ij / √(n_i n_j), and the share of i's
                firings at which j fires too, n_ij / n_i

n_ij is counted exactly where a latent has at most PAIRS_READ / (F · L0) firings, else over so many of them, evenly spread.

Shapes: F d_sae, D width of a decoder row, X neighbours listed, R latents of a range.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from workers.engine.features.firings import Firings
from workers.engine.features.latent_firings import LatentFirings

CHUNK_COSINES, SMALLEST_CHUNK = 2**22, 128
"""Cosines held at once, unless so many latents have more."""
PAIRS_READ = 200_000_000
"""(firing, latent beside it) pairs looked at over a whole run: a few seconds."""
LEAST_FIRINGS = 1_000
NONE = -1


@torch.no_grad()
def similar_rows(W_dec_FD: Tensor, listed: int) -> tuple[np.ndarray, np.ndarray]:
    """(F, X) ids and cosines of the rows nearest to each, itself left out; fewer rows than X leave NONE and 0."""
    F = len(W_dec_FD)
    unit_FD = torch.nn.functional.normalize(W_dec_FD.float(), dim=-1)
    ids, cosines = np.full((F, listed), NONE, np.int32), np.zeros((F, listed), np.float32)
    kept, most = min(listed, F - 1), max(SMALLEST_CHUNK, CHUNK_COSINES // F)
    buffer_CF = unit_FD.new_empty(min(most, F), F)
    for start in range(0, F, most):
        unit_CD = unit_FD[start : start + most]
        block_CF = torch.mm(unit_CD, unit_FD.T, out=buffer_CF[: len(unit_CD)])
        own = torch.arange(len(block_CF))
        block_CF[own, start + own] = -torch.inf
        best = block_CF.topk(kept, dim=-1)
        ids[start : start + len(block_CF), :kept] = best.indices.cpu().numpy()
        cosines[start : start + len(block_CF), :kept] = best.values.cpu().numpy()
    return ids, cosines


@dataclass(frozen=True)
class Coactive:
    """What fires beside the latents of a range, the largest cosine first, of equal ones the smaller id; (R, X) each, ids NONE
    behind the last."""

    ids: np.ndarray
    cosines: np.ndarray
    shares: np.ndarray


class Coactivation:
    """Counts what fires at the same positions."""

    def __init__(self, firings: Firings, listed: int) -> None:
        self._firings, self._listed = firings, listed
        mean_l0 = firings.counts_F.sum() / max(1, len(firings.positions_P))
        self._most = max(LEAST_FIRINGS, int(PAIRS_READ / max(1.0, firings.d_sae * mean_l0)))
        self._weight_F = 1 / np.sqrt(np.maximum(firings.counts_F, 1))

    def of(self, latents: LatentFirings) -> Coactive:
        """The neighbours of each latent of the range."""
        stride_R = np.maximum(1, -(-latents.counts // self._most))
        read_R = -(-latents.counts // stride_R)
        ids = np.full((len(latents), self._listed), NONE, np.int64)
        counts = np.zeros_like(ids)
        for r, (begin, end) in enumerate(pairwise(latents.bounds)):
            others_G, count_G = self._firings.counts_at(latents.rows[begin : end : stride_R[r]])
            count_G[others_G == latents.start + r] = 0
            nearest = _largest(count_G * self._weight_F[others_G], self._listed)
            ids[r, : len(nearest)], counts[r, : len(nearest)] = others_G[nearest], count_G[nearest]
        shares = counts / np.maximum(read_R, 1)[:, None]
        # n_ij / sqrt(n_i n_j) with n_ij = share · n_i
        cosines = shares * np.sqrt(latents.counts)[:, None] * self._weight_F[ids]
        return Coactive(ids, cosines, shares)


def _largest(values_G: np.ndarray, most: int) -> np.ndarray:
    """Places of the `most` largest values above 0, largest first, of equal ones the first."""
    least = np.partition(values_G, -most)[-most] if 0 < most < len(values_G) else 0
    places = np.flatnonzero(values_G >= max(least, np.finfo(np.float64).tiny))
    return places[np.argsort(-values_G[places], kind="stable")][:most]
