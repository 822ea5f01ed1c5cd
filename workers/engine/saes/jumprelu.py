"""JumpReLU: a latent fires above a threshold of its own, learned by a straight-through estimator.

Rajamanoharan et al. 2024, "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders"
(arXiv:2407.14435), in the form of SAELens' `JumpReLUTrainingSAE`:

    p    = (x - b_dec) W_encᵀ + b_enc
    f    = p · 1[p > θ]
    x̂    = f W_dec + b_dec
    mse  = mean_B ‖x̂ - x‖²
    l0   = λ(step) · mean_B S,   L0 = Σ_i 1[p_i > θ_i]
           step         S = L0
           quadratic    S = 2/T (L0 - T)²               T = target_l0            Gemma Scope 2
           tanh         S = Σ_i tanh(c f_i ‖W_dec,i‖)   c = tanh_scale           Anthropic, January 2025
    pre_act = κ · mean_B Σ_dead relu(θ_i - p_i) ‖W_dec,i‖      tanh only; κ = pre_act_coefficient

Neither jump has a derivative; with rect(z) = 1[|z| < ½] and bandwidth ε, both pass to the threshold alone

    ∂f/∂θ = -(θ/ε) rect((p - θ)/ε)        ∂1[p > θ]/∂θ = -(1/ε) rect((p - θ)/ε)

θ itself is learned, not its logarithm, which Adam would hardly move from a small start; after each update it is brought
back to at least 0. λ grows linearly from 0 over sparsity_warmup_steps.

Shapes: B tokens, D d_in, E d_out, F d_sae; V values of pairs (pairs.py).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, StepContext
from workers.engine.saes.pairwise import Learned, PairwiseTrainingSae, Piece
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.schedule import sparsity_coefficient_at


class JumpReluParameters(NamedTuple):
    W_enc: Any
    W_dec: Any
    b_enc: Any
    b_dec: Any
    threshold: Any


class _Jump(torch.autograd.Function):
    """1[p > θ] (B, F), for which only θ (F,) gets the rectangle's gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, p_BF: Tensor, threshold_F: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(_rectangle(p_BF, threshold_F, bandwidth))
        ctx.bandwidth = bandwidth
        return (p_BF > threshold_F).to(p_BF)

    @staticmethod
    def backward(ctx: FunctionCtx, d_out_BF: Tensor) -> tuple[None, Tensor, None]:
        (is_near_BF,) = ctx.saved_tensors
        return None, (is_near_BF * d_out_BF).sum(0) / -ctx.bandwidth, None


class _JumpRelu(torch.autograd.Function):
    """p · 1[p > θ] (B, F); p gets the gradient where it fires, θ (F,) the rectangle's."""

    @staticmethod
    def forward(ctx: FunctionCtx, p_BF: Tensor, threshold_F: Tensor, bandwidth: float) -> Tensor:
        fires_BF = p_BF > threshold_F
        ctx.save_for_backward(fires_BF, _rectangle(p_BF, threshold_F, bandwidth), threshold_F)
        ctx.bandwidth = bandwidth
        return p_BF * fires_BF

    @staticmethod
    def backward(ctx: FunctionCtx, d_out_BF: Tensor) -> tuple[Tensor, Tensor, None]:
        fires_BF, is_near_BF, threshold_F = ctx.saved_tensors
        d_threshold_F = (is_near_BF * d_out_BF).sum(0) * (threshold_F / -ctx.bandwidth)
        return fires_BF * d_out_BF, d_threshold_F, None


def _rectangle(p_V: Tensor, threshold_V: Tensor, bandwidth: float) -> Tensor:
    return (p_V - threshold_V).abs() < bandwidth / 2


class JumpReluTrainingSae(PairwiseTrainingSae):
    NAME = "jumprelu"
    LOSSES = ("mse", "l0", "pre_act")

    _OF_LATENTS = (0, 1, 2, 4)
    """Places of the parameters that have a row for each latent."""

    def shapes(self) -> JumpReluParameters:
        D, E, F = self.d_in, self.d_out, self.d_sae
        return JumpReluParameters(W_enc=(F, D), W_dec=(F, E), b_enc=(F,), b_dec=(E,), threshold=(F,))

    def losses(
        self, parameters: JumpReluParameters, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        W_enc, W_dec, b_enc, b_dec, threshold = parameters
        spec, dtype = self.spec, self.matmul_dtype
        p_BF = linear((batch.x_BD - b_dec).to(dtype), W_enc.to(dtype)).float() + b_enc
        f_BF = _JumpRelu.apply(p_BF, threshold, spec.bandwidth)
        x_hat_BE = (f_BF.to(dtype) @ W_dec.to(dtype)).float() + b_dec
        mse = (x_hat_BE - batch.y_BE).square().sum(-1).mean()
        if spec.l0_loss == "tanh":
            sparsity_B = (spec.tanh_scale * f_BF * W_dec.norm(dim=-1)).tanh().sum(-1)
        else:
            sparsity_B = _Jump.apply(p_BF, threshold, spec.bandwidth).sum(-1)
        if spec.l0_loss == "quadratic":
            sparsity_B = 2 / spec.target_l0 * (sparsity_B - spec.target_l0) ** 2
        l0 = sparsity_coefficient_at(context.step, spec) * sparsity_B.mean()
        pre_act = torch.zeros_like(mse)
        if (dead_X := self._pulled_back(context)) is not None:
            pre_act = self._pre_act(p_BF[:, dead_X], threshold[dead_X], W_dec[dead_X])
        return {"mse": mse, "l0": l0, "pre_act": pre_act}, (f_BF.detach() > 0).sum(0), {}

    def after_update(self, context: StepContext) -> None:
        with torch.no_grad():
            self.parameters.threshold.clamp_(min=0)

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture="jumprelu",
            d_in=self.d_in,
            d_sae=self.d_sae,
            hook_site=hook_site,
            sink_threshold=sink_threshold,
        )

    def _initialize(self, generator: torch.Generator) -> None:
        super()._initialize(generator)
        self.parameters.threshold.fill_(self.spec.initial_threshold)

    def _bias(self) -> Tensor:
        return self.parameters.b_enc

    def _bias_gradient(self) -> Tensor:
        return self.gradients.b_enc

    def _floor(self) -> Tensor:
        # whatever fires lies above the rectangle's lower edge too
        return self.parameters.threshold - self.spec.bandwidth / 2

    def _learn(self, piece: Piece) -> Learned:
        pairs, p_V, bandwidth = piece.pairs, piece.p_V, self.spec.bandwidth
        threshold_V = pairs.of_latent(self.parameters.threshold)
        fires_V = (p_V <= threshold_V).logical_not_()  # NaN too, so that the loss shows it
        firing, of_firing = pairs.only(fires_V)
        f_M = of_firing(p_V)
        mse, d_x_hat_BE = self._reconstruct(piece, firing, f_M)
        firing.add_rows(f_M, d_x_hat_BE, self.gradients.W_dec)
        d_f_V = pairs.dot(d_x_hat_BE, self.parameters.W_dec)
        l0, d_fires_V, d_norm_F = self._add_sparsity(piece, fires_V, d_f_V)

        d_p_M = of_firing(d_f_V)
        firing.add_rows(d_p_M, piece.centred_BD, self.gradients.W_enc)
        self.gradients.b_enc.add_(firing.sum_over_tokens(d_p_M))
        is_near_V = _rectangle(p_V, threshold_V, bandwidth)
        d_jump_V = d_f_V.mul_(threshold_V).add_(d_fires_V).mul_(is_near_V)
        self.gradients.threshold.sub_(pairs.sum_over_tokens(d_jump_V) / bandwidth)
        fired_F = firing.sum_over_tokens(f_M.sign_()).long()
        return Learned({"mse": mse, "l0": l0}, fired_F, d_norm_F)

    def _add_sparsity(
        self, piece: Piece, fires_V: Tensor, d_f_V: Tensor
    ) -> tuple[Tensor, Tensor | float, Tensor | None]:
        """The sparsity term, its gradients by the jump 1[p > θ] and by norm_F; that by f is added to `d_f_V`."""
        spec, weight = self.spec, piece.coefficient * piece.per_token
        if spec.l0_loss == "step":
            return weight * fires_V.count_nonzero(), weight, None
        if spec.l0_loss == "quadratic":
            excess_B = piece.pairs.sum_over_latents(fires_V.float()) - spec.target_l0
            l0 = weight * 2 / spec.target_l0 * excess_B.square().sum()
            return l0, piece.pairs.of_token(excess_B * (weight * 4 / spec.target_l0)), None
        scaled_norm_V = piece.pairs.of_latent(spec.tanh_scale * piece.norm_F)
        f_V = piece.p_V * fires_V
        tanh_V = (f_V * scaled_norm_V).tanh_()
        slope_V = 1 - tanh_V.square()
        d_f_V.add_(slope_V * scaled_norm_V, alpha=weight)
        d_norm_F = piece.pairs.sum_over_tokens(f_V * slope_V) * (weight * spec.tanh_scale)
        return weight * tanh_V.sum(), 0.0, d_norm_F

    def _learn_rest(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        dead_X = self._pulled_back(context)
        if dead_X is None:
            return {"pre_act": self.weights.new_zeros(())}
        to = self.gradients
        rows = [self.parameters[place][dead_X].requires_grad_() for place in self._OF_LATENTS]
        with torch.enable_grad():
            W_enc, W_dec, b_enc, threshold = rows
            centred_BD = (batch.x_BD - self.parameters.b_dec).to(self.matmul_dtype)
            p_BX = linear(centred_BD, W_enc.to(self.matmul_dtype)).float() + b_enc
            pre_act = self._pre_act(p_BX, threshold, W_dec)
        gradients = torch.autograd.grad(pre_act, rows)
        for place, of_rows in zip(self._OF_LATENTS, gradients):
            to[place].index_add_(0, dead_X, of_rows)
        to.b_dec.sub_(gradients[2] @ W_enc.detach())
        return {"pre_act": pre_act.detach()}

    def _pulled_back(self, context: StepContext) -> Tensor | None:
        """Indices of the dead latents that the pre-activation loss works on, None when there are none."""
        if self.spec.l0_loss != "tanh" or self.spec.pre_act_coefficient == 0 or context.dead_F is None:
            return None
        dead_X = context.dead_F.nonzero().flatten()
        return dead_X if len(dead_X) else None

    def _pre_act(self, p_BX: Tensor, threshold_X: Tensor, W_dec_XE: Tensor) -> Tensor:
        """The pre-activation loss of dead latents."""
        pull_BX = (threshold_X - p_BX).relu() * W_dec_XE.norm(dim=-1)
        return self.spec.pre_act_coefficient * pull_BX.sum(-1).mean()
