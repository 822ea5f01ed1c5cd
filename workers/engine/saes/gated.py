"""Gated: one path decides which latents fire, another how strongly; both read the same encoder rows.

Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders" (arXiv:2404.16014), in the form
of SAELens' `GatedTrainingSAE`:

    u    = (x - b_dec) W_encᵀ
    π    = u + b_gate                                 gate
    m    = exp(r_mag) u + b_mag                       magnitude
    f    = 1[π > 0] relu(m)
    x̂    = f W_dec + b_dec
    mse  = mean_B ‖x̂ - x‖²
    l1   = λ(step) · mean_B Σ_i relu(π_i) ‖W_dec,i‖
    aux  = mean_B ‖relu(π) W_dec + b_dec - x‖²        the gate's own reconstruction: all that it learns from, beside l1

The paper holds W_dec and b_dec fixed in aux; SAELens does not, and neither does this. Nor does the paper weight l1 by the
rows' lengths: it holds them at 1. λ grows linearly from 0 over sparsity_warmup_steps.

Shapes: B tokens, D d_in, E d_out, F d_sae; V values of pairs (pairs.py).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, StepContext
from workers.engine.saes.pairwise import Learned, PairwiseTrainingSae, Piece
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.schedule import sparsity_coefficient_at


class GatedParameters(NamedTuple):
    """In SAELens' names; no b_enc."""

    W_enc: Any
    W_dec: Any
    b_gate: Any
    r_mag: Any
    b_mag: Any
    b_dec: Any


class GatedTrainingSae(PairwiseTrainingSae):
    NAME = "gated"
    LOSSES = ("mse", "l1", "aux")

    def shapes(self) -> GatedParameters:
        D, E, F = self.d_in, self.d_out, self.d_sae
        return GatedParameters(W_enc=(F, D), W_dec=(F, E), b_gate=(F,), r_mag=(F,), b_mag=(F,), b_dec=(E,))

    def losses(
        self, parameters: GatedParameters, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        W_enc, W_dec, b_gate, r_mag, b_mag, b_dec = parameters
        dtype = self.matmul_dtype
        u_BF = linear((batch.x_BD - b_dec).to(dtype), W_enc.to(dtype)).float()
        gate_BF = u_BF + b_gate
        f_BF = (gate_BF > 0) * (r_mag.exp() * u_BF + b_mag).relu()
        g_BF = gate_BF.relu()

        def squared_error(code_BF: Tensor) -> Tensor:
            x_hat_BE = (code_BF.to(dtype) @ W_dec.to(dtype)).float() + b_dec
            return (x_hat_BE - batch.y_BE).square().sum(-1).mean()

        weighted = (g_BF * W_dec.norm(dim=-1)).sum(-1).mean()
        l1 = sparsity_coefficient_at(context.step, self.spec) * weighted
        terms = {"mse": squared_error(f_BF), "l1": l1, "aux": squared_error(g_BF)}
        return terms, (f_BF.detach() > 0).sum(0), {}

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture="gated",
            d_in=self.d_in,
            d_sae=self.d_sae,
            hook_site=hook_site,
            sink_threshold=sink_threshold,
        )

    def _bias(self) -> Tensor:
        return self.parameters.b_gate

    def _bias_gradient(self) -> Tensor:
        return self.gradients.b_gate + self.parameters.r_mag.exp() * self.gradients.b_mag

    def _floor(self) -> Tensor:
        return torch.zeros_like(self.parameters.b_gate)

    def _learn(self, piece: Piece) -> Learned:
        pairs, gate_V = piece.pairs, piece.p_V
        to = self.gradients
        W_dec = self.parameters.W_dec
        scale_V = pairs.of_latent(self.parameters.r_mag.exp())
        u_V = gate_V - pairs.of_latent(self.parameters.b_gate)
        f_V = (scale_V * u_V).add_(pairs.of_latent(self.parameters.b_mag)).relu_().mul_(gate_V > 0)
        g_V = gate_V.relu_()

        mse, d_x_hat_BE = self._reconstruct(piece, pairs, f_V)
        aux, d_gate_hat_BE = self._reconstruct(piece, pairs, g_V)
        pairs.add_rows(f_V, d_x_hat_BE, to.W_dec)
        pairs.add_rows(g_V, d_gate_hat_BE, to.W_dec)
        weight = piece.coefficient * piece.per_token
        d_m_V = torch.ops.aten.threshold_backward(pairs.dot(d_x_hat_BE, W_dec), f_V, 0)
        d_g_V = pairs.dot(d_gate_hat_BE, W_dec).add_(pairs.of_latent(weight * piece.norm_F))
        d_gate_V = torch.ops.aten.threshold_backward(d_g_V, g_V, 0)

        to.b_mag.add_(pairs.sum_over_tokens(d_m_V))
        to.b_gate.add_(pairs.sum_over_tokens(d_gate_V))
        d_m_V.mul_(scale_V)
        to.r_mag.add_(pairs.sum_over_tokens(u_V.mul_(d_m_V)))
        pairs.add_rows(d_gate_V.add_(d_m_V), piece.centred_BD, to.W_enc)
        d_norm_F = weight * pairs.sum_over_tokens(g_V)
        fired_F = pairs.sum_over_tokens(f_V.sign_()).long()
        return Learned({"mse": mse, "l1": d_norm_F @ piece.norm_F, "aux": aux}, fired_F, d_norm_F)
