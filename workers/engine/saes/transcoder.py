"""Transcoder: reads what an MLP reads and answers what it answers, through sparse latents.

Dunefsky, Chlenski, Nanda 2024, "Transcoders find interpretable LLM feature circuits" (arXiv:2406.11944), with x the
activation at mlp_in and y that at mlp_out of the same layer and token:

    f    = relu(x W_encᵀ + b_enc)
    ŷ    = f W_dec + b_dec
    loss = mean_B ‖ŷ - y‖² + λ(step) · mean_B Σ_i f_i ‖W_dec,i‖

It differs from Standard in the target, and in that b_dec, which belongs to the answer, is not subtracted from the input.
The paper's L1 is not weighted; the weighting takes away the gain from scaling f down and W_dec up. W_dec may have another
width than W_enc and then starts apart from it. b_dec starts at the mean of the targets. λ as in Standard; so is the step.

Shapes: B tokens, D d_in, E d_out, F d_sae.
"""

from torch import Tensor
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, Parameters, StepContext
from workers.engine.saes.standard import StandardTrainingSae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.schedule import sparsity_coefficient_at


class TranscoderTrainingSae(StandardTrainingSae):
    NAME = "transcoder"
    SUBTRACTS_B_DEC = False

    def losses(
        self, parameters: Parameters, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        W_enc, W_dec, b_enc, b_dec = parameters
        dtype = self.matmul_dtype
        f_BF = linear(batch.x_BD.to(dtype), W_enc.to(dtype), b_enc.to(dtype)).relu()
        error_BE = (f_BF @ W_dec.to(dtype)).float() + b_dec - batch.y_BE
        mse = error_BE.square().sum(-1).mean()
        weighted = (f_BF.float() * W_dec.norm(dim=-1)).sum(-1).mean()
        l1 = sparsity_coefficient_at(context.step, self.spec) * weighted
        return {"mse": mse, "l1": l1}, (f_BF.detach() > 0).sum(0), {}

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture=self.NAME,
            d_in=self.d_in,
            d_out=self.d_out,
            d_sae=self.d_sae,
            hook_site=hook_site,
            hook_site_out=HookSite(layer=hook_site.layer, site="mlp_out"),
            apply_b_dec_to_input=False,
            sink_threshold=sink_threshold,
        )
