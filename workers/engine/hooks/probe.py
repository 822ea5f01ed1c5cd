"""One short forward pass of a language model, with every module of its blocks watched: what went in, what came out.

wiring.py reads the blocks' wiring off these calls. A call also knows whether attention ran inside it: softmax attention
is seen at work (its kernel, or a softmax over scores of every query with every key), not by the names of modules.

Shapes: B batch rows, T tokens, D d_model.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

PROBE_TOKENS = 7
"""No usual number of experts: a router's softmax over them must not look like one over tokens."""
SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


@dataclass(frozen=True)
class Place:
    """The input ("in") or output ("out") of a module, and the width of the tensor there."""

    path: str
    side: str
    width: int


@dataclass(frozen=True, eq=False)
class Call:
    """One module's run in the probe: its tensors are copies (B, T, width)."""

    path: str
    module: nn.Module
    before: Tensor
    after: Tensor
    attends: bool

    @property
    def is_matrix(self) -> bool:
        weight = getattr(self.module, "weight", None)
        return isinstance(weight, Tensor) and weight.ndim == 2  # packed weights of quantized layers too

    @property
    def is_unit(self) -> bool:
        return any(parameter.ndim >= 2 for parameter in self.module.parameters())

    @property
    def depth(self) -> int:
        return self.path.count(".")

    def is_within(self, outer: "Call") -> bool:
        return self.path == outer.path or self.path.startswith(f"{outer.path}.")

    def place(self, side: str) -> Place:
        return Place(self.path, side, (self.before if side == "in" else self.after).shape[-1])


class _Attentions(TorchFunctionMode):
    """While open, counts how often attention was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.count += func is F.scaled_dot_product_attention or (func in SOFTMAX and _are_scores(result))
        return result


def _are_scores(x: Tensor) -> bool:
    """Attention's scores are (B, heads, T, T or more) or (B × heads, T, T); a router's are (tokens, experts)."""
    return x.ndim == 4 or x.shape[-2:] == (PROBE_TOKENS, PROBE_TOKENS)


@torch.no_grad()
def probe(model: PreTrainedModel, blocks: nn.ModuleList) -> list[list[Call]]:
    """Run a few tokens; for each block its calls in the order they ended, the block itself last."""
    paths = {module: path for path, module in model.named_modules()}
    calls: list[list[Call]] = [[] for _ in blocks]
    vocab = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(PROBE_TOKENS, device=model.device) * max(vocab // PROBE_TOKENS, 1) % vocab
    attentions = _Attentions()
    with ExitStack() as stack:
        for block, ended in zip(blocks, calls, strict=True):
            for module in block.modules():
                stack.enter_context(_watched(module, paths[module], ended, attentions))
        with attentions:
            model(input_ids=ids[None], use_cache=False)
    return calls


def _watched(module: nn.Module, path: str, ended: list[Call], attentions: _Attentions) -> ExitStack:
    """While open, appends a Call to `ended` each time `module` ran."""
    entered: list[tuple[Tensor | None, int]] = []

    def before(_: nn.Module, args: tuple, kwargs: dict) -> None:
        x = first_tensor(args) if first_tensor(args) is not None else first_tensor(kwargs)
        entered.append((None if x is None else x.clone(), attentions.count))

    def after(_: nn.Module, args: tuple, output: Any) -> None:
        (x, count), y = entered.pop(), first_tensor(output)
        if x is not None and y is not None:  # copies: models add to tensors in place
            ended.append(Call(path, module, x, y.clone(), attentions.count > count))

    stack = ExitStack()
    stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
    stack.callback(module.register_forward_hook(after).remove)
    return stack


def first_tensor(values: Any) -> Tensor | None:
    """The first tensor of a module's output, or of its arguments: tensors stand first by convention."""
    if isinstance(values, Tensor):
        return values
    if isinstance(values, dict):
        values = list(values.values())
    return next((value for value in values if isinstance(value, Tensor)), None)
