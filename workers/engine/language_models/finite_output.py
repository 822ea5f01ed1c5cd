"""Experiments that drive a language model out of its range: said in words before a token is made of its output."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.specs.errors import EngineError

HINT = "Give smaller strengths, or choose float32 as the model's precision."


def finite_check(logits: Tensor, hint: str = HINT) -> Tensor:
    """`logits`, unchanged. EngineError "output_not_finite" when one is NaN or +infinity; with -infinity some models forbid
    tokens."""
    if torch.isnan(logits).any() or torch.isposinf(logits).any():
        raise EngineError("The model's output was not a number.", hint, code="output_not_finite")
    return logits


@contextmanager
def finite_output(model: PreTrainedModel) -> Iterator[None]:
    """Check the logits of every pass while this is open."""

    def look(module: PreTrainedModel, arguments: Any, output: Any) -> None:
        finite_check(output.logits)

    handle = model.register_forward_hook(look)
    try:
        yield
    finally:
        handle.remove()
