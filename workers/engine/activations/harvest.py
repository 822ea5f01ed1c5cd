"""Activations of many contexts, several hook sites in one truncated forward pass, batch by batch.

Used wherever activations are read in bulk: by the activation cache and by a training on text. Position 0 and sink tokens
are left out by `included`: a token that is a sink at one of the sites is left out at all, so that rows belong together.

Shapes: N contexts, B contexts in a batch, T tokens in a context, D width of a site, P included positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.activations.positions import included_positions, is_one_of, position_norms
from workers.engine.activations.texts import Texts
from workers.engine.hooks.capture import capture_sites
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hook_site import HookSite

NOT_FINITE = "activations_not_finite"


@dataclass(frozen=True)
class Harvested:
    """One forward pass: for each site activations (B, T, D) in the model's precision, on its device."""

    x: tuple[Tensor, ...]
    norms: tuple[Tensor, ...]
    """(B, T) float32 for each site."""
    is_token_BT: Tensor
    is_special_BT: Tensor
    """Tokens left out for their id."""

    @property
    def is_counted_BT(self) -> Tensor:
        """Tokens that are not left out for their id."""
        return self.is_token_BT & ~self.is_special_BT

    def included(self, thresholds: Sequence[float | None]) -> Tensor:
        """Mask (B, T) of the positions that count; `thresholds` has one norm for each site, None for no limit."""
        mask_BT = included_positions(self.norms[0], thresholds[0], self.is_counted_BT)
        for norms_BT, threshold in zip(self.norms[1:], thresholds[1:], strict=True):
            if threshold is not None:
                mask_BT &= norms_BT <= threshold
        return mask_BT

    def sink_count(self, included_BT: Tensor) -> int:
        """Tokens other than the first of their context that `included_BT` leaves out for their norm."""
        return int((self.is_counted_BT & ~included_BT)[:, 1:].sum())

    def special_count(self) -> int:
        """Tokens other than the first of their context that are left out for their id."""
        return int((self.is_token_BT & self.is_special_BT)[:, 1:].sum())


def harvest(
    model: PreTrainedModel,
    texts: Texts,
    order_N2: np.ndarray,
    sites: Sequence[HookSite],
    batch_contexts: int,
    excluded_tokens: Sequence[int] = (),
) -> Iterator[Harvested]:
    """Run the contexts that `order_N2` names, `batch_contexts` at once; tokens with an id in `excluded_tokens` are read by the
    model and count for nothing.

    Raises EngineError "activations_not_finite", which names hook site, tokenization and context, and those of `capture`.
    """
    for start in range(0, len(order_N2), batch_contexts):
        order_B2 = order_N2[start : start + batch_contexts]
        ids_BT, is_token_BT = texts.gather(order_B2)
        x = capture_sites(model, ids_BT, sites)
        device, is_special_BT = x[0].device, is_one_of(ids_BT, excluded_tokens)
        batch = Harvested(x, tuple(map(position_norms, x)), is_token_BT.to(device), is_special_BT.to(device))
        _check_finite(batch, texts, order_B2, sites)
        yield batch


def _check_finite(batch: Harvested, texts: Texts, order_B2: np.ndarray, sites: Sequence[HookSite]) -> None:
    for site, norms_BT in zip(sites, batch.norms):
        bad_BT = batch.is_token_BT & ~norms_BT.isfinite()
        if bad_BT.any():
            row, position = bad_BT.nonzero()[0].tolist()
            text, context = order_B2[row].tolist()
            raise EngineError(
                f"The language model gives infinite numbers or NaN at {site}: tokenization {texts.names[text]}, "
                f"context {context}, position {position}.",
                "Choose float32 as the model's precision; if it stays so, the model's weights are damaged.",
                code=NOT_FINITE,
            )
