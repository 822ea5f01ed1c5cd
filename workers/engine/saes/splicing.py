"""An SAE in a language model's forward pass: read what it reads, put its answer where it belongs.

An autoencoder reads and answers one site; a transcoder reads `hook_site` and answers `hook_site_out` of the same pass.
The blocks below both are the same whatever the answer: they run once, when the sites are read (hooks/resuming.py).

Shapes: B contexts, T tokens in a context, P included positions, D d_in, E d_out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.activations.positions import included_positions
from workers.engine.hooks.capture import replaced
from workers.engine.hooks.resuming import Passed, blocks_before, capture_passing
from workers.engine.specs.encode import EncodeSpec

Answer = Callable[[Tensor], Tensor]
"""From activations read, float32 (P, D), to what takes the place of those answered (P, E)."""


class _Remembered:
    """An edit that changes nothing and keeps the activation it saw."""

    x_BTD: Tensor

    def __call__(self, x_BTD: Tensor) -> Tensor:
        self.x_BTD = x_BTD
        return x_BTD


@dataclass(frozen=True)
class SitesRead:
    """What a forward pass gave at the sites of an SAE, and how far it came: passes with any answer go on from `passed`."""

    x_BTD: Tensor
    """At the site that is read."""
    y_BTE: Tensor
    """At the site that is answered: the same tensor where the sites are one."""
    passed: Passed


def blocks_below(spec: EncodeSpec) -> int:
    """How many blocks are over before either site: an answer below what is read changes what is read."""
    return min(blocks_before(spec.hook_site), blocks_before(spec.site_out))


def sites_read(model: PreTrainedModel, ids_BT: Tensor, spec: EncodeSpec) -> SitesRead:
    """Run the model on whole contexts up to the last of the SAE's sites."""
    sites = [spec.hook_site, spec.site_out] if spec.is_transcoder else [spec.hook_site]
    captured, passed = capture_passing(model, ids_BT, sites, blocks_below(spec))
    return SitesRead(captured[0], captured[-1], passed)


def zeros_of(spec: EncodeSpec) -> Answer:
    """The answer that every measure of an SAE is held against."""
    return lambda x_PD: x_PD.new_zeros(len(x_PD), spec.width_out)


@contextmanager
def spliced(model: PreTrainedModel, spec: EncodeSpec, answer: Answer, is_token_BT: Tensor) -> Iterator[None]:
    """While open, included positions of each pass go on with `answer`; all others are let through bit by bit.

    Passes are of whole contexts, with `is_token_BT` the places that are tokens and not passed by for their id.
    """
    read = _Remembered()

    def edit(y_BTE: Tensor) -> Tensor:
        x_BTD = read.x_BTD if spec.is_transcoder else y_BTE
        is_included_BT = included_positions(x_BTD, spec.sink_threshold, is_token_BT)
        edited_BTE = y_BTE.clone()
        edited_BTE[is_included_BT] = answer(x_BTD[is_included_BT].float()).to(y_BTE.dtype)
        return edited_BTE

    reading = replaced(model, spec.hook_site, read) if spec.is_transcoder else nullcontext()
    with reading, replaced(model, spec.site_out, edit):
        yield
