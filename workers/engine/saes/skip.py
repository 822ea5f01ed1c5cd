"""Skip SAE: an autoencoder whose latents work beside a low-rank linear path around them (a residual connection).

    c    = x - b_dec
    f    = relu(c W_encᵀ + b_enc)
    x̂    = f W_dec + b_dec + U(Vᵀc)
    loss = mean_B ‖x̂ - x‖² + λ(step) · mean_B Σ_i f_i ‖W_dec,i‖

What it measures: how sparse a code the activations need once their few widest directions, which are dense (position, norm,
frequency of the token), are carried past the latents. An SAE spends always-on latents on those; here they cost no sparsity.

Why the identity does not trivially win: an unbounded path would be the identity, with loss 0 and no latent. This one has
rank skip_rank, at most half of d_in and usually far below: what lies outside its R dimensions must come from the latents. It
is not penalised, so its FVU stands beside that of an SAE only together with skip_fvu, what the path alone leaves
(linear_path.py).

U starts at 0, V at random orthonormal columns. The finished SAE is a skip transcoder from a site to itself: W_skip = U Vᵀ, and
b_dec, which both paths subtract, goes into the biases.

Shapes: B tokens, D d_in, F d_sae, R skip_rank.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.engine.saes.linear_path import LinearPath
from workers.engine.saes.standard import StandardTrainingSae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.hook_site import HookSite


class SkipParameters(NamedTuple):
    W_enc: Any
    W_dec: Any
    b_enc: Any
    b_dec: Any
    U: Any
    V: Any


class SkipTrainingSae(LinearPath, StandardTrainingSae):
    NAME = "skip"

    def shapes(self) -> SkipParameters:
        D, R = self.d_in, self.spec.skip_rank
        if R > D // 2:
            raise SpecInvalid(
                f"A linear path of rank {R} could copy most of an activation of width {D}.",
                f"Choose {D // 2} or less; 8 is usual.",
                field="skip_rank",
            )
        return SkipParameters(*super().shapes(), U=(D, R), V=(D, R))

    def inference_tensors(self, parameters: SkipParameters) -> dict[str, Tensor]:
        W_skip_DD = parameters.U @ parameters.V.T
        return {
            "W_enc": parameters.W_enc,
            "W_dec": parameters.W_dec,
            "b_enc": parameters.b_enc - parameters.W_enc @ parameters.b_dec,
            "b_dec": parameters.b_dec - W_skip_DD @ parameters.b_dec,
            "W_skip": W_skip_DD,
        }

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture="skip_transcoder",
            d_in=self.d_in,
            d_out=self.d_in,
            d_sae=self.d_sae,
            hook_site=hook_site,
            hook_site_out=hook_site,
            apply_b_dec_to_input=False,
            sink_threshold=sink_threshold,
        )

    def _initialize(self, generator: torch.Generator) -> None:
        super()._initialize(generator)
        directions_DR = torch.randn(self.d_in, self.spec.skip_rank, generator=generator)
        self.parameters.V.copy_(torch.linalg.qr(directions_DR).Q)

    def _linear(self, parameters: SkipParameters, x_BD: Tensor) -> Tensor:
        return ((x_BD - parameters.b_dec) @ parameters.V) @ parameters.U.T

    def _add_linear_gradients(self, read_BD: Tensor, d_out_BE: Tensor) -> None:
        U, V = self.parameters.U, self.parameters.V
        d_read_BR = d_out_BE @ U
        self.gradients.U.addmm_(d_out_BE.T, read_BD @ V)
        self.gradients.V.addmm_(read_BD.T, d_read_BR)
        self.gradients.b_dec.sub_(V @ d_read_BR.sum(0))
