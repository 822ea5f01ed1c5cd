"""The normalised input of the MLP before its norm's gain: TransformerLens' hook_normalized, for transcoders.

A norm computes `gain ⊙ normalise(x) (+ bias)`, with gain = weight (Llama, GPT-2) or 1 + weight (Gemma). Which of the two
is asked of the norm itself, by running it with other weights, so its ε and its kind (RMS or mean and variance) are right.

Shapes: B batch rows, T tokens, D d_model.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from workers.engine.specs.errors import EngineError


def pregain_of(norm: nn.Module, x_BTD: Tensor) -> Tensor:
    """normalise(x) for the norm's input x: the norm's output as if its gain were 1 and its bias 0."""
    neutral = torch.zeros_like if _gain_is_one_plus_weight(norm) else torch.ones_like
    return functional_call(norm, _weights(norm, neutral), (x_BTD,))


def pregain_apply(norm: nn.Module, normalised_BTD: Tensor) -> Tensor:
    """The norm's output for a normalised vector: gain ⊙ n + bias."""
    gain_D = norm.weight + 1 if _gain_is_one_plus_weight(norm) else norm.weight
    bias_D = getattr(norm, "bias", None)
    out_BTD = normalised_BTD * gain_D.to(normalised_BTD.dtype)
    return out_BTD if bias_D is None else out_BTD + bias_D.to(out_BTD.dtype)


def _gain_is_one_plus_weight(norm: nn.Module) -> bool:
    """With a weight of 0, a plain norm gives 0 and one with gain 1 + weight does not."""
    if not isinstance(getattr(norm, "weight", None), Tensor):
        raise EngineError(
            f"{type(norm).__name__} has no gain: mlp_in and mlp_in_pregain are the same here.",
            "Use the site mlp_in.",
            code="no_such_site",
        )
    slope_1D = torch.linspace(-1, 1, norm.weight.shape[-1], device=norm.weight.device, dtype=norm.weight.dtype)[None]
    return bool(functional_call(norm, _weights(norm, torch.zeros_like), (slope_1D,)).any())


def _weights(norm: nn.Module, gain: object) -> dict[str, Tensor]:
    """The norm's parameters with another weight, and without bias."""
    made = {name: torch.zeros_like(parameter) for name, parameter in norm.named_parameters()}
    return made | {"weight": gain(norm.weight)}  # type: ignore[operator]
