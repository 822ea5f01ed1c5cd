"""How a training's activations are normalised before an SAE sees them.

expected_average_only_in multiplies all of them by one factor, which is folded into the weights at the end.
constant_norm_rescale and layer_norm treat each token by itself and stay with the SAE (saes/encoding.py). A transcoder's
targets get a factor of their own under the first and are else left as they are.

Shapes: B tokens, D d_in, E d_out.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from workers.engine.saes.base import Batch
from workers.engine.saes.encoding import normalized
from workers.engine.specs.errors import EngineError

EXPECTED_AVERAGE = "expected_average_only_in"


@dataclass(frozen=True)
class Normalizing:
    """One hook site's normalisation: `how` is TrainSpec.normalize_activations."""

    how: str
    factor: float = 1.0
    target_factor: float = 1.0
    mean_norm: float = 0.0
    """Mean norm of what the encoder sees."""

    @classmethod
    def measured(cls, how: str, norm: tuple[float, int], target_norm: tuple[float, int] | None = None) -> Self:
        """From (mean norm, width) of the activations, and of the targets where there are any.

        Raises EngineError when such a mean norm is no positive number.
        """
        if how != EXPECTED_AVERAGE:
            return cls(how, mean_norm=norm[0] if how == "none" else norm[1] ** 0.5)
        factor = _factor(*norm)
        return cls(how, factor, factor if target_norm is None else _factor(*target_norm), mean_norm=norm[1] ** 0.5)

    def batch(self, x_BD: Tensor, target_BE: Tensor | None, device: str | torch.device) -> Batch:
        """Raw activations of any precision, normalised, float32, on `device`. Without targets y is x."""
        x_BD = self.inputs(x_BD.to(device))
        return Batch(x_BD, x_BD if target_BE is None else self.targets(target_BE.to(device)))

    def inputs(self, x_BD: Tensor) -> Tensor:
        """What the encoder sees, float32."""
        return normalized(x_BD.float() * self.factor, self.how)

    def targets(self, target_BE: Tensor) -> Tensor:
        """What a transcoder's reconstruction is compared with, float32."""
        return target_BE.float() * self.target_factor


def _factor(mean_norm: float, width: int) -> float:
    """The mean norm becomes √width."""
    if not 0 < mean_norm < float("inf"):
        raise EngineError(
            f"The mean norm of the activations is {mean_norm}: they cannot be normalised.",
            "The language model may produce invalid numbers at this hook site; try float32, or another site.",
        )
    return width**0.5 / mean_norm
