"""How the blocks of a language model are wired: found by running a few tokens and watching the sums, not by names.

A block of a decoder adds to the residual stream: `mid = pre + attn_out` and `post = mid + mlp_out`, or all at once in
parallel blocks (`post = pre + attn_out + mlp_out`). So one short forward pass (probe.py) tells what each module does:

1. The blocks are the members of the decoder's outermost ModuleList that is as long as the model has layers.
2. Within a block, the modules with weight matrices ("units") run in order: attention first, the MLP from the next on. A
   first unit without attention (Mamba, convolution) has neither attn_z nor attn_out.
3. The norm whose output enters the MLP reads the residual stream between the two; if it reads the block's input, the
   block is parallel.
4. Whatever output makes a sum come out bit by bit is `attn_out` or `mlp_out`: the module's own (Llama, GPT-2), that of a
   norm after it (Gemma 2), or that of its last matrix where the module itself adds to the stream (BLOOM). Where no sum
   comes out (a model that scales what it adds, say) the site does not exist, and neither where a block flattens contexts
   and tokens into one axis (OPT). Where neither a norm nor a sum shows the stream before the MLP, nothing is claimed.

Nothing here names an architecture. Shapes: B batch rows, T tokens, D d_model.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from workers.engine.hooks.probe import PROBE_TOKENS, Call, Place, probe
from workers.engine.specs.errors import EngineError


@dataclass(frozen=True)
class BlockWiring:
    """Where in one block the sites are; None: the block has no such place."""

    block: Place
    resid_mid: Place | None = None
    attn_z: Place | None = None
    attn_out: Place | None = None
    mlp_in: Place | None = None
    mlp_norm: Place | None = None
    """The input of the norm, with a gain, whose output is the MLP's input."""
    mlp_out: Place | None = None
    d_mlp: int = 0
    """Width of the MLP's hidden vector: what its last matrix reads."""


_known: "WeakKeyDictionary[PreTrainedModel, tuple[BlockWiring, ...]]" = WeakKeyDictionary()


def model_wiring(model: PreTrainedModel) -> tuple[BlockWiring, ...]:
    """The wiring of every block, in order. Found once per model by one forward pass of a few tokens, then remembered.

    Raises EngineError "no_decoder_blocks" where there are no blocks, "no_residual_stream" where they pass on something
    else than one vector per token.
    """
    if model not in _known:
        path, blocks = decoder_blocks(model)
        for index, calls in enumerate(seen := probe(model, blocks)):
            _check_stream(calls, f"{path}.{index}")
        _known[model] = tuple(_block_wiring(calls) for calls in seen)
    return _known[model]


def decoder_blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Path and ModuleList of the decoder's blocks. Raises EngineError "no_decoder_blocks" where there are none."""
    layers = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    decoder = set(model.get_decoder().modules())  # a vision tower may have as many layers
    for path, module in model.named_modules():
        if module in decoder and isinstance(module, nn.ModuleList) and len(module) == layers:
            return path, module
    raise EngineError(
        f"{type(model).__name__} has no list of {layers} decoder blocks.",
        "Only decoder-only transformers can be studied here: Llama, GPT-2, GPT-NeoX, Gemma, Qwen and the like.",
        code="no_decoder_blocks",
    )


def _check_stream(calls: list[Call], path: str) -> None:
    """Refuse blocks that did not run, or do not hand on (1, T, D)."""
    shapes = {calls[-1].before.shape, calls[-1].after.shape} if calls and calls[-1].path == path else set()
    if len(shapes) == 1 and shapes.pop()[:-1] == (1, PROBE_TOKENS):
        return
    raise EngineError(
        f"{path} does not pass on one vector per token: the model has no single residual stream.",
        "Models that keep several streams, or skip blocks, cannot be studied here.",
        code="no_residual_stream",
    )


def _block_wiring(calls: list[Call]) -> BlockWiring:
    """Read one block's wiring off its calls."""
    block = calls[-1]
    inner = [call for call in calls[:-1] if call.depth == block.depth + 1 and call.before.ndim == block.before.ndim]
    units = [call for call in inner if call.is_unit]
    attention = next((index for index, unit in enumerate(units) if unit.attends), 0)
    wiring: dict[str, Any] = {"block": block.place("out")}
    if len(units) < attention + 2:
        return BlockWiring(**wiring)
    mixer, mlp = units[attention], units[attention + 1]
    if matrix := _last_matrix(calls, units[attention + 1 :]):
        wiring["d_mlp"] = matrix.before.shape[-1]
    at_mlp = inner.index(mlp)
    before_mlp, from_mlp = _addable(calls, inner[:at_mlp], block), _addable(calls, inner[at_mlp:], block)
    norm = _norm_before(mlp, inner[:at_mlp])
    stream = norm or mlp
    if torch.equal(stream.before, block.before):
        sums = _parallel_sums(block, before_mlp, from_mlp)
    else:
        sums = _sequential_sums(block, before_mlp, from_mlp, stream, is_certain=norm is not None)
    if not sums:
        return BlockWiring(**wiring)
    wiring |= sums | {"mlp_in": mlp.place("in")}
    if norm is not None and isinstance(getattr(norm.module, "weight", None), Tensor):
        wiring["mlp_norm"] = norm.place("in")
    if not mixer.attends:
        return BlockWiring(**wiring | {"attn_out": None})
    if matrix := _last_matrix(calls, [mixer]):
        wiring["attn_z"] = matrix.place("in")
    return BlockWiring(**wiring)


def _norm_before(mlp: Call, earlier: list[Call]) -> Call | None:
    """The module without matrices that made the MLP's input out of something else."""
    for call in earlier:
        if not call.is_unit and torch.equal(call.after, mlp.before) and not torch.equal(call.before, call.after):
            return call
    return None


def _addable(calls: list[Call], outer: list[Call], block: Call) -> list[Call]:
    """The calls in `outer`, then those within them, whose output could be added to the residual stream."""
    inside = [call for call in calls[:-1] if any(call.is_within(one) for one in outer)]
    return [call for call in sorted(inside, key=lambda call: call.depth) if call.after.shape == block.after.shape]


def _last_matrix(calls: list[Call], units: list[Call]) -> Call | None:
    """The last weight matrix that ran within `units`: the projection back to the residual stream's width."""
    matrices = [call for call in calls if call.is_matrix and any(call.is_within(unit) for unit in units)]
    return matrices[-1] if matrices else None


def _sequential_sums(
    block: Call, attention: list[Call], mlp: list[Call], stream: Call, *, is_certain: bool
) -> dict[str, Place | None]:
    """resid_mid, attn_out and mlp_out. Empty where `stream` is not known to be the stream and no sum shows it."""
    attn_out = _addend(block.before, attention, stream.before)
    if attn_out is None and not is_certain:
        return {}
    mlp_out = _addend(stream.before, mlp, block.after)
    return {"resid_mid": stream.place("in"), "attn_out": attn_out, "mlp_out": mlp_out}


def _addend(before: Tensor, candidates: list[Call], after: Tensor) -> Place | None:
    """The output that, added to `before`, gives `after` to the bit."""
    for call in candidates:
        if torch.equal(before + call.after, after):
            return call.place("out")
    return None


def _parallel_sums(block: Call, attention: list[Call], mlp: list[Call]) -> dict[str, Place | None]:
    """attn_out and mlp_out of a parallel block, whatever the order in which the three are added."""
    r = block.before
    for a in attention:
        for m in mlp:
            sums = ((a.after + m.after) + r, (a.after + r) + m.after, (m.after + r) + a.after)
            if any(torch.equal(total, block.after) for total in sums):
                return {"attn_out": a.place("out"), "mlp_out": m.place("out")}
    return {}
