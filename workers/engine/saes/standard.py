"""Standard: ReLU latents with an L1 penalty weighted by the decoder's norms.

SAELens `StandardTrainingSAE`; Anthropic, "Update on dictionary learning improvements" (April 2024):

    f    = relu((x - b_dec) W_encᵀ + b_enc)
    x̂    = f W_dec + b_dec
    loss = mean_B ‖x̂ - x‖² + λ(step) · mean_B Σ_i f_i ‖W_dec,i‖

λ grows linearly from 0 over sparsity_warmup_steps. Decoder rows are free: the weighting takes away the gain from scaling f
down and W_dec up. No resampling, no ghost gradients.

Shapes: B tokens, D d_in, F d_sae.
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, Parameters, StepContext, TrainingSae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.training.schedule import sparsity_coefficient_at


class StandardTrainingSae(TrainingSae):
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
        error_BD = (f_BF @ W_dec.to(dtype)).float() + b_dec - x_BD
        mse = error_BD.square().sum(-1).mean()
        # Σ over tokens first: one product with F norms instead of B × F
        weighted = f_BF.sum(0, dtype=torch.float32) @ W_dec.norm(dim=-1) / len(x_BD)
        l1 = sparsity_coefficient_at(context.step, self.spec) * weighted
        return {"mse": mse, "l1": l1}, (f_BF.detach() > 0).sum(0), {}

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture="standard",
            d_in=self.d_in,
            d_sae=self.d_sae,
            hook_site=hook_site,
            sink_threshold=sink_threshold,
        )
