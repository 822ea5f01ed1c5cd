"""LinearPath: latents beside a linear map of the input, for skip_transcoder.py and skip.py.

    ŷ = f W_dec + b_dec + linear(x)

The latents then learn what the linear map leaves: to their losses and their fast step the target is y - linear(x). An
architecture gives `_linear` and its gradients. Reported beside the loss:

    skip_fvu = Σ ‖r - r̄‖² / Σ ‖y - ȳ‖²,   r = y - linear(x)

the variance that the linear map leaves to the latents, 1 where it does nothing. FVU far below skip_fvu is the latents' own
work.

Shapes: B tokens, D d_in, E d_out.
"""

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from workers.engine.saes.base import Batch, Parameters, StepContext, StepOutput
from workers.engine.saes.pairs import Pairs
from workers.engine.saes.pairwise import PairwiseTrainingSae, Piece

SMALLEST_VARIANCE = 1e-30


class LinearPath(PairwiseTrainingSae):
    """Goes before the architecture whose latents it accompanies: class X(LinearPath, StandardTrainingSae).

    Parameters are the usual four, then the map's own.
    """

    REPORTED = ("skip_fvu",)

    @abstractmethod
    def _linear(self, parameters: Any, x_BD: Tensor) -> Tensor:
        """linear(x), (B, E)."""

    @abstractmethod
    def _add_linear_gradients(self, read_BD: Tensor, d_out_BE: Tensor) -> None:
        """Add the gradients of the map's parameters; `read_BD` is what the encoder reads."""

    def losses(
        self, parameters: Any, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        rest = Batch(batch.x_BD, batch.y_BE - self._linear(parameters, batch.x_BD))
        terms, fired_F, _ = super().losses(Parameters(*parameters[:4]), rest, context)
        return terms, fired_F, {"skip_fvu": _share_left(rest.y_BE.detach(), batch.y_BE)}

    @torch.no_grad()
    def step(self, batch: Batch, context: StepContext) -> StepOutput:
        rest = Batch(batch.x_BD, batch.y_BE - self._linear(self.parameters, batch.x_BD))
        out = super().step(rest, context)
        return replace(out, reported={"skip_fvu": _share_left(rest.y_BE, batch.y_BE)})

    def _reconstruct(self, piece: Piece, pairs: Pairs, f_V: Tensor) -> tuple[Tensor, Tensor]:
        mse, d_out_BE = super()._reconstruct(piece, pairs, f_V)
        self._add_linear_gradients(piece.centred_BD, d_out_BE)
        return mse, d_out_BE


def _share_left(rest_BE: Tensor, y_BE: Tensor) -> Tensor:
    variance = (y_BE - y_BE.mean(0)).square().sum().clamp(min=SMALLEST_VARIANCE)
    return (rest_BE - rest_BE.mean(0)).square().sum() / variance
