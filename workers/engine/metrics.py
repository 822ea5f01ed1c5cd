"""Every metric once, with its formula. Nothing here knows a model, a file or an architecture.

Shapes: B tokens, D d_in, F d_sae.
"""

import math

import torch
from torch import Tensor

HISTOGRAM_EDGES: tuple[float, ...] = tuple(-7 + 0.25 * i for i in range(29))
"""Edges of the histogram of log10 densities: -7, -6.75, …, 0."""


class FvuMeter:
    """Fraction of variance unexplained over a stream of batches:

        FVU = Σ_n ‖x_n - x̂_n‖² / Σ_n ‖x_n - x̄‖²,    x̄ = the mean of all x_n, dimension by dimension

    Explained variance is 1 - FVU. Sums are kept in float64 on the device of the batches, and around the first batch's
    mean: a constant added to every activation changes nothing. `add` never waits for the device; `value` does.
    """

    def __init__(self) -> None:
        self.shift_D: Tensor | None = None
        self.sums: Tensor | None = None
        """float64 (3 + D,): tokens, Σ‖x - x̂‖², Σ‖x - shift‖², Σ(x - shift) of each dimension."""

    def add(self, x_BD: Tensor, x_hat_BD: Tensor) -> None:
        """Count one batch of activations and their reconstructions."""
        self.add_error(x_BD, (x_BD.float() - x_hat_BD.float()).square().sum())

    def add_error(self, x_BD: Tensor, squared_error: Tensor) -> None:
        """Count one batch whose Σ‖x - x̂‖² is known already."""
        if len(x_BD) == 0:
            return
        x_BD = x_BD.float()
        if self.shift_D is None:
            self.shift_D = x_BD.mean(0)
            self.sums = torch.zeros(3 + x_BD.shape[-1], dtype=torch.float64, device=x_BD.device)
        centred_BD = x_BD - self.shift_D
        self.sums[0] += len(x_BD)
        self.sums[1] += squared_error
        self.sums[2] += centred_BD.square().sum()
        self.sums[3:] += centred_BD.sum(0)

    def value(self) -> float:
        """FVU so far; nan when there is no variance to explain."""
        if self.sums is None:
            return float("nan")
        tokens, error, square = self.sums[:3].tolist()
        variance = square - self.sums[3:].square().sum().item() / tokens
        return error / variance if variance > 0 else float("nan")


def explained_variance(fvu: float) -> float:
    """EV = 1 - FVU."""
    return 1.0 - fvu


def l0(fired_F: Tensor, tokens: int) -> float:
    """Mean number of latents that fire on a token: Σ_i fired_i / tokens, where fired_i counts tokens with f_i > 0."""
    return fired_F.sum().item() / tokens


def density(fired_F: Tensor, tokens: int) -> Tensor:
    """Share of tokens on which each latent fires: fired_i / tokens, (F,) float32."""
    return (fired_F.double() / tokens).float()


def log10_density(fired_F: Tensor, tokens: int) -> Tensor:
    """log10(density + 1e-10), as SAELens stores it: a latent that never fired has -10."""
    return torch.log10(density(fired_F, tokens) + 1e-10)


def dead_share(fired_F: Tensor) -> float:
    """Share of latents that fired on none of the tokens counted."""
    return (fired_F == 0).double().mean().item()


def density_histogram(density_F: Tensor) -> tuple[int, ...]:
    """Counts of latents in the 28 intervals of log10 density between HISTOGRAM_EDGES.

    Dead latents are left out; anything below 1e-7 counts in the first interval.
    """
    alive = density_F[density_F > 0].double().log10().clamp(min=HISTOGRAM_EDGES[0], max=HISTOGRAM_EDGES[-1])
    edges = torch.tensor(HISTOGRAM_EDGES, dtype=torch.float64)
    return tuple(torch.histogram(alive.cpu(), bins=edges).hist.long().tolist())


def ce_recovered(ce_clean: float, ce_sae: float, ce_zero: float) -> float:
    """(CE_zero - CE_sae) / (CE_zero - CE_clean): 1 when the SAE costs the language model nothing, 0 when it is as bad
    as zeros in place of the activations. nan when zeros cost nothing or help, as in a model that has learnt nothing: then
    there is nothing to recover."""
    return (ce_zero - ce_sae) / (ce_zero - ce_clean) if ce_zero > ce_clean else float("nan")


def kl_divergence(clean_NV: Tensor, changed_NV: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ_v p_v (log p_v - log q_v) in nats for each row (N,), where p and q are the softmax of the logits."""
    log_p_NV, log_q_NV = clean_NV.log_softmax(-1), changed_NV.log_softmax(-1)
    return (log_p_NV.exp() * (log_p_NV - log_q_NV)).sum(-1)


def kl_recovered(kl_sae: float, kl_zero: float) -> float:
    """(KL_zero - KL_sae) / KL_zero, both from the clean predictions. nan when zeros change nothing."""
    return (kl_zero - kl_sae) / kl_zero if kl_zero else float("nan")


def known(value: float) -> float | None:
    """None in place of nan, which JSON does not have."""
    return None if math.isnan(value) else value


def clustered_mean(sums_C: Tensor, counts_C: Tensor) -> tuple[float, float]:
    """Mean m = Σ_c s_c / Σ_c n_c over the values of C contexts, and its standard error with contexts as the draws:

        SE = √( C / (C - 1) · Σ_c (s_c - m n_c)² ) / Σ_c n_c

    Values of one context are not independent, so it counts as one draw (ratio estimator; Cochran 1977, 6.3). With equal
    n_c it is the usual standard error of the contexts' means. nan for fewer than two contexts, the mean too for none.
    """
    sums_C, counts_C = sums_C.double(), counts_C.double()
    total, contexts = counts_C.sum(), len(counts_C)
    mean = sums_C.sum() / total
    squares = (sums_C - mean * counts_C).square().sum()
    stderr = (contexts / (contexts - 1) * squares).sqrt() / total if contexts > 1 else torch.tensor(float("nan"))
    return mean.item(), stderr.item()
