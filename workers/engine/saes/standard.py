"""Standard: ReLU latents with an L1 penalty weighted by the decoder's norms.

SAELens `StandardTrainingSAE`; Anthropic, "Update on dictionary learning improvements" (April 2024):

    f    = relu((x - b_dec) W_encᵀ + b_enc)
    x̂    = f W_dec + b_dec
    loss = mean_B ‖x̂ - x‖² + λ(step) · mean_B Σ_i f_i ‖W_dec,i‖

λ grows linearly from 0 over sparsity_warmup_steps. Decoder rows are free: the weighting takes away the gain from scaling f
down and W_dec up. No ghost gradients.

Shapes: B tokens, D d_in, E d_out, F d_sae; V values of pairs (pairs.py).
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, Parameters, StepContext
from workers.engine.saes.pairwise import Learned, PairwiseTrainingSae, Piece
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.schedule import sparsity_coefficient_at


class StandardTrainingSae(PairwiseTrainingSae):
    NAME = "standard"
    LOSSES = ("mse", "l1")

    def losses(
        self, parameters: Parameters, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        x_BD = batch.x_BD
        W_enc, W_dec, b_enc, b_dec = parameters
        # b_dec goes in through the bias: x - b_dec would cost autograd a whole product for dL/dx
        bias_F = b_enc - W_enc @ b_dec
        dtype = self.matmul_dtype
        f_BF = linear(x_BD.to(dtype), W_enc.to(dtype), bias_F.to(dtype)).relu()
        error_BE = (f_BF @ W_dec.to(dtype)).float() + b_dec - batch.y_BE
        mse = error_BE.square().sum(-1).mean()
        # Σ over tokens first: one product with F norms instead of B × F
        weighted = f_BF.sum(0, dtype=torch.float32) @ W_dec.norm(dim=-1) / len(x_BD)
        l1 = sparsity_coefficient_at(context.step, self.spec) * weighted
        return {"mse": mse, "l1": l1}, (f_BF.detach() > 0).sum(0), {}

    def _bias(self) -> Tensor:
        return self.parameters.b_enc

    def _bias_gradient(self) -> Tensor:
        return self.gradients.b_enc

    def _floor(self) -> Tensor:
        return torch.zeros_like(self.parameters.b_enc)

    def _learn(self, piece: Piece) -> Learned:
        pairs = piece.pairs
        W_dec, to_W_dec = self.parameters.W_dec, self.gradients.W_dec
        f_V = piece.p_V.relu_()
        mse, d_x_hat_BE = self._reconstruct(piece, pairs, f_V)
        pairs.add_rows(f_V, d_x_hat_BE, to_W_dec)
        weight = piece.coefficient * piece.per_token
        d_f_V = pairs.dot(d_x_hat_BE, W_dec).add_(pairs.of_latent(weight * piece.norm_F))
        d_p_V = torch.ops.aten.threshold_backward(d_f_V, f_V, 0)
        pairs.add_rows(d_p_V, piece.centred_BD, self.gradients.W_enc)
        self.gradients.b_enc.add_(pairs.sum_over_tokens(d_p_V))
        d_norm_F = weight * pairs.sum_over_tokens(f_V)
        fired_F = pairs.sum_over_tokens(f_V.sign_()).long()
        return Learned({"mse": mse, "l1": d_norm_F @ piece.norm_F}, fired_F, d_norm_F)

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture="standard",
            d_in=self.d_in,
            d_sae=self.d_sae,
            hook_site=hook_site,
            sink_threshold=sink_threshold,
        )
