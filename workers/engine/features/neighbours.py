"""Which features are near each other: by the direction they write, and by the tokens at which they fire.

    similar     cosine of decoder rows, W_dec,i · W_dec,j / (‖W_dec,i‖ ‖W_dec,j‖)
    coactive    cosine of the 0/1 vectors "fires here" over included positions, n_ij / √(n_i n_j), and the share of i's
                firings at which j fires too, n_ij / n_i

n_ij is counted exactly where a latent has at most PAIRS_READ / (F · L0) firings, else over so many of them, evenly spread.

Shapes: F d_sae, D width of a decoder row, X neighbours listed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.engine.features.firings import Firings, LatentFirings

CHUNK_LATENTS = 512
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
    kept = min(listed, F - 1)
    for start in range(0, F, CHUNK_LATENTS):
        block_CF = unit_FD[start : start + CHUNK_LATENTS] @ unit_FD.T
        own = torch.arange(len(block_CF))
        block_CF[own, start + own] = -torch.inf
        best = block_CF.topk(kept, dim=-1)
        ids[start : start + len(block_CF), :kept] = best.indices.cpu().numpy()
        cosines[start : start + len(block_CF), :kept] = best.values.cpu().numpy()
    return ids, cosines


@dataclass(frozen=True)
class Coactive:
    """What fires beside one latent, the largest cosine first; all (n,), n ≤ X."""

    ids: np.ndarray
    cosines: np.ndarray
    shares: np.ndarray


class Coactivation:
    """Counts, latent by latent, what fires at the same positions."""

    def __init__(self, firings: Firings, listed: int) -> None:
        self._firings, self._listed = firings, listed
        mean_l0 = firings.counts_F.sum() / max(1, len(firings.positions_P))
        self._most = max(LEAST_FIRINGS, int(PAIRS_READ / max(1.0, firings.d_sae * mean_l0)))

    def of(self, latent: int, latents: LatentFirings) -> Coactive:
        """The neighbours of one latent of the range."""
        counts_F = self._firings.counts_F
        positions, _ = latents.of(latent)
        stride = -(-len(positions) // self._most) or 1
        read = positions[::stride]
        beside_F = np.bincount(self._firings.latents_at(read), minlength=len(counts_F))
        beside_F[latent] = 0
        others = np.flatnonzero(beside_F)
        shares = beside_F[others] / max(1, len(read))
        # n_ij / sqrt(n_i n_j) with n_ij = share · n_i
        cosines = shares * np.sqrt(len(positions) / counts_F[others])
        if len(others) > self._listed:
            nearest = np.argpartition(-cosines, self._listed)[: self._listed]
            others, shares, cosines = others[nearest], shares[nearest], cosines[nearest]
        order = np.lexsort((others, -cosines))
        return Coactive(others[order], cosines[order], shares[order])
