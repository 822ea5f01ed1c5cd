"""Skip transcoder: a transcoder beside a linear map, so that latents need not spell out what is linear in the MLP.

Paulo, Shabalin, Belrose 2025, "Transcoders beat sparse autoencoders for interpretability" (arXiv:2501.18823):

    f    = relu(x W_encᵀ + b_enc)
    ŷ    = f W_dec + b_dec + x W_skipᵀ
    loss = mean_B ‖ŷ - y‖² + λ(step) · mean_B Σ_i f_i ‖W_dec,i‖

W_skip (E, D) starts at 0 and is not penalised, as in the paper; its latents are TopK there, ReLU with L1 here. It reads x
and answers y, another site: copying the input earns nothing.

Shapes: B tokens, D d_in, E d_out, F d_sae.
"""

from typing import Any, NamedTuple

from torch import Tensor

from workers.engine.saes.linear_path import LinearPath
from workers.engine.saes.transcoder import TranscoderTrainingSae


class SkipTranscoderParameters(NamedTuple):
    W_enc: Any
    W_dec: Any
    b_enc: Any
    b_dec: Any
    W_skip: Any


class SkipTranscoderTrainingSae(LinearPath, TranscoderTrainingSae):
    NAME = "skip_transcoder"

    def shapes(self) -> SkipTranscoderParameters:
        return SkipTranscoderParameters(*super().shapes(), W_skip=(self.d_out, self.d_in))

    def _linear(self, parameters: SkipTranscoderParameters, x_BD: Tensor) -> Tensor:
        return x_BD @ parameters.W_skip.T

    def _add_linear_gradients(self, read_BD: Tensor, d_out_BE: Tensor) -> None:
        self.gradients.W_skip.addmm_(d_out_BE.T, read_BD)
