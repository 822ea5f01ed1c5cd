"""Go on with a forward pass where an earlier one of the same tokens left off: the blocks below run once, however many
passes differ only above them.

A skipped block hands on what the last of them gave, in the form that its family gives it in, so nothing is known here of
architectures; the model's own loop over its blocks goes on as always, and every number is the same to the bit.

Shapes: B batch rows, T tokens, D d_in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from workers.engine.hooks.capture import capture_sites, with_first
from workers.engine.hooks.probe import first_tensor
from workers.engine.hooks.wiring import model_wiring
from workers.engine.specs.hook_site import HookSite


@dataclass(frozen=True)
class Passed:
    """How far a forward pass of some tokens came: `output` is what the last of the first `blocks` blocks gave, None for no
    block at all."""

    blocks: int
    output: Any = None

    @property
    def nbytes(self) -> int:
        """Memory that its activations take."""
        kept = first_tensor(self.output) if self.blocks else None
        return 0 if kept is None else kept.nbytes


def blocks_before(site: HookSite) -> int:
    """How many blocks are over before `site` can be edited: resid_post is edited behind its own."""
    return site.layer + (site.site == "resid_post")


def capture_passing(
    model: PreTrainedModel, input_ids_BT: Tensor, sites: Sequence[HookSite], blocks: int
) -> tuple[tuple[Tensor, ...], Passed]:
    """Like `capture_sites`, with what the first `blocks` blocks gave on the way; a site lies behind them, or at their end."""
    if not blocks:
        return capture_sites(model, input_ids_BT, sites), Passed(0)
    kept: list[Any] = []
    handle = _block(model, blocks - 1).register_forward_hook(
        lambda _, args, output: kept.append(with_first(output, Tensor.clone))
    )
    try:
        captured = capture_sites(model, input_ids_BT, sites)
    finally:
        handle.remove()
    return captured, Passed(blocks, kept[0])


@contextmanager
def resumed(model: PreTrainedModel, passed: Passed) -> Iterator[None]:
    """While open, forward passes of the same tokens without a cache begin behind the blocks that are passed."""
    skipped = [_block(model, number) for number in range(passed.blocks)]
    own = [block.__dict__.get("forward") for block in skipped]  # quantized models have one of their own

    def hand_on(*args: Any, **kwargs: Any) -> Any:
        return with_first(passed.output, Tensor.clone)  # what follows may add to it in place

    try:
        for block in skipped:
            block.forward = hand_on
        yield
    finally:
        for block, forward in zip(skipped, own):
            del block.forward
            if forward is not None:
                block.forward = forward


def _block(model: PreTrainedModel, number: int) -> nn.Module:
    return model.get_submodule(model_wiring(model)[number].block.path)
