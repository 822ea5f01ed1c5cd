"""How the blocks of a language model are wired: found by running a few tokens and watching the sums, not by names.

A block of a decoder adds to the residual stream: `mid = pre + attn_out` and `post = mid + mlp_out`, or all at once in
parallel blocks (`post = pre + attn_out + mlp_out`). So one short forward pass tells what each module does:

1. The blocks are the members of the outermost ModuleList that is as long as the model has layers.
2. Within a block, the modules with weight matrices ("units") run in order: attention first, the MLP from the second on.
3. The norm whose output enters the MLP reads the residual stream between the two; if it reads the block's input, the
   block is parallel.
4. Whatever output makes a sum come out bit by bit is `attn_out` or `mlp_out`: the module's own (Llama, GPT-2), or that of
   a norm after it (Gemma 2). Where no sum comes out (a model that scales what it adds, say) the site does not exist, and
   neither where a block flattens contexts and tokens into one axis (OPT).

Nothing here names an architecture. Shapes: B batch rows, T tokens, D d_model.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from workers.engine.specs.errors import EngineError

PROBE_TOKENS = 6


@dataclass(frozen=True)
class Place:
    """The input ("in") or output ("out") of a module, and the width of the tensor there."""

    path: str
    side: str
    width: int


@dataclass(frozen=True)
class BlockWiring:
    """Where in one block the sites are; None: the block has no such place."""

    block: Place
    resid_mid: Place | None = None
    attn_z: Place | None = None
    attn_out: Place | None = None
    mlp_in: Place | None = None
    mlp_norm: Place | None = None
    """The input of the norm whose output is the MLP's input."""
    mlp_out: Place | None = None
    d_mlp: int = 0
    """Width of the MLP's hidden vector: what its last matrix reads."""


@dataclass(frozen=True, eq=False)
class Call:
    """One module's run in the probe: its tensors are copies (B, T, width)."""

    path: str
    module: nn.Module
    before: Tensor
    after: Tensor

    @property
    def is_matrix(self) -> bool:
        weight = getattr(self.module, "weight", None)
        return isinstance(weight, Tensor) and weight.ndim == 2

    @property
    def is_unit(self) -> bool:
        return any(parameter.ndim >= 2 for parameter in self.module.parameters())

    def place(self, side: str) -> Place:
        return Place(self.path, side, (self.before if side == "in" else self.after).shape[-1])


_known: "WeakKeyDictionary[PreTrainedModel, tuple[BlockWiring, ...]]" = WeakKeyDictionary()


def model_wiring(model: PreTrainedModel) -> tuple[BlockWiring, ...]:
    """The wiring of every block, in order. Found once per model by one forward pass of a few tokens, then remembered."""
    if model not in _known:
        _known[model] = tuple(_block_wiring(calls) for calls in _probe(model, decoder_blocks(model)[1]))
    return _known[model]


def decoder_blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Path and ModuleList of the decoder's blocks. Raises EngineError "no_decoder_blocks" where there are none."""
    layers = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    lists = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    for path, module in lists:
        if len(module) == layers:
            return path, module
    raise EngineError(
        f"{type(model).__name__} has no list of {layers} decoder blocks.",
        "Only decoder-only transformers can be studied here: Llama, GPT-2, GPT-NeoX, Gemma, Qwen and the like.",
        code="no_decoder_blocks",
    )


def first_tensor(values: Any) -> Tensor | None:
    """The first tensor of a module's output, or of its arguments: tensors stand first by convention."""
    if isinstance(values, Tensor):
        return values
    if isinstance(values, dict):
        values = list(values.values())
    return next((value for value in values if isinstance(value, Tensor)), None)


@torch.no_grad()
def _probe(model: PreTrainedModel, blocks: nn.ModuleList) -> Iterator[list[Call]]:
    """Run a few tokens; for each block its calls in the order they ended, the block itself last."""
    paths = {module: path for path, module in model.named_modules()}
    calls: list[list[Call]] = [[] for _ in blocks]
    vocab = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(PROBE_TOKENS, device=model.device) * max(vocab // PROBE_TOKENS, 1) % vocab
    with ExitStack() as stack:
        for block, ended in zip(blocks, calls, strict=True):
            for module in block.modules():
                if any(True for _ in module.parameters()):
                    stack.enter_context(_watched(module, paths[module], ended))
        model(input_ids=ids[None], use_cache=False)
    yield from calls


def _watched(module: nn.Module, path: str, ended: list[Call]) -> ExitStack:
    """While open, appends a Call to `ended` each time `module` ran."""
    entered: list[Tensor | None] = []

    def before(_: nn.Module, args: tuple, kwargs: dict) -> None:
        x = first_tensor(args) if first_tensor(args) is not None else first_tensor(kwargs)
        entered.append(None if x is None else x.clone())

    def after(_: nn.Module, args: tuple, output: Any) -> None:
        x, y = entered.pop(), first_tensor(output)
        if x is not None and y is not None:
            ended.append(Call(path, module, x, y.clone()))  # copies: models add to tensors in place

    stack = ExitStack()
    stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
    stack.callback(module.register_forward_hook(after).remove)
    return stack


def _block_wiring(calls: list[Call]) -> BlockWiring:
    """Read one block's wiring off its calls."""
    block = calls[-1]
    depth = block.path.count(".") + 1
    inner = [call for call in calls[:-1] if call.path.count(".") == depth and call.before.ndim == block.before.ndim]
    units = [call for call in inner if call.is_unit]
    wiring: dict[str, Any] = {"block": block.place("out")}
    if len(units) < 2:
        return BlockWiring(**wiring)
    attention, mlp = units[0], units[1]
    if matrix := _last_matrix(calls, [attention]):
        wiring["attn_z"] = matrix.place("in")
    if matrix := _last_matrix(calls, units[1:]):
        wiring["d_mlp"] = matrix.before.shape[-1]
    wiring["mlp_in"] = mlp.place("in")
    norm = next((call for call in inner if not call.is_unit and torch.equal(call.after, mlp.before)), None)
    if norm is not None:
        wiring["mlp_norm"] = norm.place("in")
    stream = norm or mlp
    at_mlp = inner.index(mlp)
    before_mlp, from_mlp = _same_shape(inner[:at_mlp], block), _same_shape(inner[at_mlp:], block)
    if torch.equal(stream.before, block.before):
        wiring |= _parallel_sums(block, before_mlp, from_mlp)
    else:
        wiring["resid_mid"] = stream.place("in")
        wiring["attn_out"] = _addend(block.before, before_mlp, stream.before)
        wiring["mlp_out"] = _addend(stream.before, from_mlp, block.after)
    return BlockWiring(**wiring)


def _same_shape(calls: list[Call], block: Call) -> list[Call]:
    """Those whose output could be added to the residual stream."""
    return [call for call in calls if call.after.shape == block.after.shape]


def _last_matrix(calls: list[Call], units: list[Call]) -> Call | None:
    """The last weight matrix that ran within `units`: the projection back to the residual stream's width."""
    prefixes = tuple(f"{unit.path}." for unit in units)
    own = {unit.path for unit in units}
    matrices = [call for call in calls if call.is_matrix and (call.path.startswith(prefixes) or call.path in own)]
    return matrices[-1] if matrices else None


def _addend(before: Tensor, candidates: list[Call], after: Tensor) -> Place | None:
    """The output that, added to `before`, gives `after` to the bit."""
    for call in candidates:
        if torch.equal(before + call.after, after):
            return call.place("out")
    return None


def _parallel_sums(block: Call, attention: list[Call], mlp: list[Call]) -> dict[str, Place]:
    """attn_out and mlp_out of a parallel block, whatever the order in which the three are added."""
    r = block.before
    for a in attention:
        for m in mlp:
            sums = ((a.after + m.after) + r, (a.after + r) + m.after, (m.after + r) + a.after)
            if any(torch.equal(total, block.after) for total in sums):
                return {"attn_out": a.place("out"), "mlp_out": m.place("out")}
    return {}
