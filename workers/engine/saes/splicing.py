"""An SAE in a language model's forward pass: read what it reads, put its answer where it belongs.

An autoencoder reads and answers one site; a transcoder reads `hook_site` and answers `hook_site_out` of the same pass.

Shapes: B contexts, T tokens in a context, P included positions, D d_in, E d_out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.activations.positions import included_positions
from workers.engine.hooks.capture import capture_sites, replaced
from workers.engine.specs.encode import EncodeSpec

Answer = Callable[[Tensor], Tensor]
"""From activations read, float32 (P, D), to what takes the place of those answered (P, E)."""


class _Remembered:
    """An edit that changes nothing and keeps the activation it saw."""

    x_BTD: Tensor

    def __call__(self, x_BTD: Tensor) -> Tensor:
        self.x_BTD = x_BTD
        return x_BTD


def read_and_answered(model: PreTrainedModel, ids_BT: Tensor, spec: EncodeSpec) -> tuple[Tensor, Tensor]:
    """Activations at the site read (B, T, D) and at the site answered (B, T, E), of one pass; one tensor twice when the
    sites are one."""
    sites = [spec.hook_site, spec.site_out] if spec.is_transcoder else [spec.hook_site]
    captured = capture_sites(model, ids_BT, sites)
    return captured[0], captured[-1]


@contextmanager
def spliced(model: PreTrainedModel, spec: EncodeSpec, answer: Answer, is_token_BT: Tensor) -> Iterator[None]:
    """While open, included positions of each pass go on with `answer`; all others are let through bit by bit.

    Passes are of whole contexts, with `is_token_BT` the places that are tokens.
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
