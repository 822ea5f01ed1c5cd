"""A layout of a neighbour graph on a plane: neighbours pull each other, random others push.

Gradient descent on the objective of LargeVis (Tang et al. 2016) with the kernel 1 / (1 + d²), all edges at once in each
step, in place of the edge by edge walk:

    Σ_edges w_ij log 1/(1 + d_ij²) + Σ_random log (1 - 1/(1 + d_ij²))

w_ij is the cosine above the weakest neighbour's, from 0 to 1 for each point, made symmetric. A step is divided by the number
of terms that touch a point, so that well connected ones do not fly off.

Shapes: N points, K neighbours, M edges.
"""

import torch
from torch import Tensor

from workers.engine.progress import Progress

STEPS = 400
PUSHES = 5
"""Random others for each edge and step (UMAP's negative_sample_rate)."""
START_SIZE = 10.0
LEAST_WEIGHT = 0.1
LONGEST_PULL = 4.0
CLOSEST = 1e-3
"""Added to d² where it divides: two points at one place would fly apart without end."""


@torch.no_grad()
def graph_layout(
    ids_NK: Tensor, cosines_NK: Tensor, start_N2: Tensor, generator: torch.Generator, progress: Progress
) -> Tensor:
    """Places (N, 2) for points with neighbours `ids_NK`, begun at `start_N2`; the same generator gives the same places."""
    N = len(ids_NK)
    from_M, to_M, weight_M = _edges(ids_NK.long(), cosines_NK)
    degree_N = torch.zeros(N).index_add_(0, from_M, torch.ones(len(from_M))).clamp(min=1)[:, None]
    y_N2 = start_N2 / start_N2.std().clamp(min=1e-12) * (START_SIZE / 4)
    progress.phase("Laying out", STEPS, "steps")
    for step in range(STEPS):
        pull_M2 = _pull(y_N2, from_M, to_M, weight_M)
        moved_N2 = torch.zeros_like(y_N2).index_add_(0, from_M, pull_M2)
        for _ in range(PUSHES):
            other_M = torch.randint(N, (len(from_M),), generator=generator)
            moved_N2.index_add_(0, from_M, _push(y_N2, from_M, other_M))
        y_N2 = y_N2 + (1 - step / STEPS) * moved_N2 / degree_N
        progress.advance()
    return y_N2


def _edges(ids_NK: Tensor, cosines_NK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each edge in both directions with its weight; one that two points name counts twice."""
    weakest_N1, strongest_N1 = cosines_NK.amin(1, keepdim=True), cosines_NK.amax(1, keepdim=True)
    spread_NK = (cosines_NK - weakest_N1) / (strongest_N1 - weakest_N1).clamp(min=1e-6)
    weight_M = (LEAST_WEIGHT + (1 - LEAST_WEIGHT) * spread_NK).flatten()
    from_M = torch.arange(len(ids_NK)).repeat_interleave(ids_NK.shape[1])
    to_M = ids_NK.flatten()
    return torch.cat([from_M, to_M]), torch.cat([to_M, from_M]), weight_M.repeat(2)


def _pull(y_N2: Tensor, from_M: Tensor, to_M: Tensor, weight_M: Tensor) -> Tensor:
    """-∂/∂y_i of w log(1 + d²): towards the neighbour."""
    apart_M2 = y_N2[to_M] - y_N2[from_M]
    squared_M1 = apart_M2.square().sum(1, keepdim=True)
    return (2 * weight_M[:, None] * apart_M2 / (1 + squared_M1)).clamp(-LONGEST_PULL, LONGEST_PULL)


def _push(y_N2: Tensor, from_M: Tensor, other_M: Tensor) -> Tensor:
    """∂/∂y_i of log(d² / (1 + d²)): away from a random other."""
    apart_M2 = y_N2[from_M] - y_N2[other_M]
    squared_M1 = apart_M2.square().sum(1, keepdim=True)
    return (2 * apart_M2 / ((CLOSEST + squared_M1) * (1 + squared_M1))).clamp(-LONGEST_PULL, LONGEST_PULL)
