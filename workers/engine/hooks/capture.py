"""Read a language model's activations at a hook site, or put others in their place.

`capture` runs the model only up to the site, `capture_sites` up to the last of several: the hook takes the tensor and
leaves the forward pass by an exception, so neither later blocks nor the output head cost anything, whatever the
architecture. As fast as cutting the list of blocks, and the model is never changed. `replaced` edits the activation while
full forward passes or generate() run.

Shapes: B batch rows, T tokens, D d_in.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from workers.engine.hooks.pregain import pregain_apply, pregain_of
from workers.engine.hooks.probe import first_tensor
from workers.engine.hooks.sites import HookPoint, hook_point
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hook_site import HookSite

Edit = Callable[[Tensor], Tensor]
"""From the activation (B, T, D) to what takes its place, same shape."""


class _Captured(Exception):
    """Not an error: the way out of a forward pass that has done its work."""


class Replacement:
    """What `replaced` did so far: `calls` grows by one with every forward pass."""

    def __init__(self) -> None:
        self.calls = 0


def capture(model: PreTrainedModel, input_ids_BT: Tensor, site: HookSite) -> Tensor:
    """The activations (B, T, D) of token ids (B, T) at `site`, in the model's dtype, on its device.

    Every position is a real token: there is no padding. Raises EngineError "hook_not_called" when the forward pass never
    came by the site, and those of `hook_point`.
    """
    return capture_sites(model, input_ids_BT, [site])[0]


@torch.no_grad()
def capture_sites(model: PreTrainedModel, input_ids_BT: Tensor, sites: Sequence[HookSite]) -> tuple[Tensor, ...]:
    """Like `capture`, at several different sites in one forward pass; the tensors come in the order of `sites`."""
    taken: dict[HookSite, Tensor] = {}

    def taking(site: HookSite) -> Edit:
        def take(x_BTD: Tensor) -> Tensor:
            is_last = len(taken) == len(sites) - 1
            # what goes on through the model may be added to in place
            taken.setdefault(site, x_BTD if is_last else x_BTD.clone())
            if len(taken) == len(sites):
                raise _Captured
            return x_BTD

        return take

    with ExitStack() as stack:
        for site in sites:
            stack.enter_context(_hooked(hook_point(model, site), taking(site)))
        try:
            model(input_ids=input_ids_BT.to(model.device), use_cache=False)
        except _Captured:
            return tuple(taken[site] for site in sites)
    missed = next(site for site in sites if site not in taken)
    raise EngineError(
        f"The forward pass never came by {hook_point(model, missed).path}: nothing was read at {missed}.",
        "The architecture skips this module; choose another hook site.",
        code="hook_not_called",
    )


@contextmanager
def replaced(model: PreTrainedModel, site: HookSite, edit: Edit) -> Iterator[Replacement]:
    """While open, every forward pass goes on with edit(x_BTD) in place of the activation at `site`.

    With a key-value cache T is the number of new positions: the whole prompt first, then 1. Yields the count of calls.
    Errors inside `edit` end the forward pass; the hook is removed whatever happens. A wrong shape raises EngineError
    "edit_changed_shape".
    """
    point, replacement = hook_point(model, site), Replacement()

    def counted(x_BTD: Tensor) -> Tensor:
        replacement.calls += 1
        edited_BTD = edit(x_BTD)
        if edited_BTD.shape != x_BTD.shape:
            raise EngineError(
                f"At {site} the model has {tuple(x_BTD.shape)}; the edit gave {tuple(edited_BTD.shape)}.",
                "The width of the SAE and of the hook site must agree.",
                code="edit_changed_shape",
            )
        return edited_BTD.to(x_BTD.dtype)

    with _hooked(point, counted):
        yield replacement


@contextmanager
def _hooked(point: HookPoint, edit: Edit) -> Iterator[None]:
    """The kind of hook that fits the point."""
    if point.mlp is not None:
        handles = _hook_between(point.module, point.mlp, edit)
    elif point.side == "in":
        handles = (_hook_input(point.module, edit, is_in_place=point.site.site == "resid_mid"),)
    else:
        handles = (point.module.register_forward_hook(lambda _, args, output: with_first(output, edit)),)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook_input(module: nn.Module, edit: Edit, *, is_in_place: bool) -> RemovableHandle:
    """`is_in_place`: between attention and MLP the block itself keeps the same tensor to add to, so it is written into."""

    def before(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        source = args if first_tensor(args) is not None else kwargs
        if is_in_place:
            x_BTD = first_tensor(source)
            x_BTD.copy_(edit(x_BTD))
            return None
        edited = with_first(source, edit)
        return (edited, kwargs) if source is args else (args, edited)

    return module.register_forward_pre_hook(before, with_kwargs=True)


def _hook_between(norm: nn.Module, mlp: nn.Module, edit: Edit) -> tuple[RemovableHandle, ...]:
    """The MLP reads gain ⊙ edit(normalise(x)) + bias; unchanged to the bit where the edit changed nothing.

    Only the MLP does: in many parallel blocks attention reads the same norm.
    """
    entered: list[Tensor] = []

    def remember(_: nn.Module, args: tuple) -> None:
        entered[:] = args[:1]

    def behind_gain(read_BTD: Tensor) -> Tensor:
        normalised_BTD = pregain_of(norm, entered[0])
        entered.clear()
        edited_BTD = edit(normalised_BTD)
        is_same = (edited_BTD == normalised_BTD).all(dim=-1, keepdim=True)
        return torch.where(is_same, read_BTD, pregain_apply(norm, edited_BTD))

    return norm.register_forward_pre_hook(remember), _hook_input(mlp, behind_gain, is_in_place=False)


def with_first(values: Any, edit: Edit) -> Any:
    """`values` (a tensor, or a tuple or dict of them) with its first tensor edited."""
    if isinstance(values, Tensor):
        return edit(values)
    pairs = list(values.items()) if isinstance(values, dict) else list(enumerate(values))
    first = next(key for key, value in pairs if isinstance(value, Tensor))
    edited = {key: edit(value) if key == first else value for key, value in pairs}
    return edited if isinstance(values, dict) else tuple(edited.values())
