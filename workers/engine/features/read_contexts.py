"""Contexts as a language model reads them, whatever feature is asked about: activations at an SAE's site, how the pass can
go on from there, and the unchanged model's cross-entropies.

A warm child that measures one feature after another keeps the last ones: the same seed draws the same random contexts.

Shapes: T tokens of a context, D d_in, P = T - 1 predictions.
"""

import weakref
from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.hooks.resuming import Passed, resumed
from workers.engine.saes.predictions import ce_tokens, next_logits
from workers.engine.saes.splicing import sites_read
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite

MOST_KEPT_BYTES = 2**26
"""Some 110 contexts of 128 tokens on SmolLM2."""


@dataclass
class ReadContext:
    """One context: `x_TD` are the activations that the SAE reads, `passed` lies below the site that it answers."""

    ids_T: Tensor
    x_TD: Tensor
    passed: Passed
    _clean_P: Tensor | None = field(default=None, repr=False)

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return self.x_TD.nbytes + self.passed.nbytes + 4 * len(self.ids_T)

    def ce_tokens(self, model: PreTrainedModel) -> Tensor:
        """Cross-entropies (P,) of the tokens that came, with whatever edits are open at or above the site; in nats, on the
        model's device."""
        ids_1T = self.ids_T[None].to(model.device)
        with resumed(model, self.passed):
            return ce_tokens(next_logits(model, ids_1T), ids_1T, torch.ones_like(ids_1T, dtype=torch.bool))

    def clean_ce(self, model: PreTrainedModel) -> Tensor:
        """The same of the unchanged model, reckoned once."""
        if self._clean_P is None:
            self._clean_P = self.ce_tokens(model)
        return self._clean_P


def context_read(model: PreTrainedModel, spec: EncodeSpec, ids_T: Tensor) -> ReadContext:
    """Read the token ids (T,) up to the site that an SAE reads."""
    ids_1T = ids_T[None].to(model.device)
    read = sites_read(model, ids_1T, spec)
    return ReadContext(ids_T, read.x_BTD[0], read.passed)


class ReadContexts:
    """The contexts of a tokenization that were read last, by number."""

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[int, ReadContext] = OrderedDict()

    def get(self, number: int) -> ReadContext | None:
        """Context `number`, if it is still there."""
        if number in self._kept:
            self._kept.move_to_end(number)
        return self._kept.get(number)

    def keep(self, number: int, read: ReadContext) -> ReadContext:
        """Put a context in; returns it."""
        self._kept[number] = read
        return read

    def trim(self) -> None:
        """Let those go that were asked for longest ago, until the rest has room."""
        while self._kept and sum(read.bytes for read in self._kept.values()) > self._most_bytes:
            self._kept.popitem(last=False)


Place = tuple[HookSite, HookSite, str]
_last: list[tuple["weakref.ref[PreTrainedModel]", Place, ReadContexts]] = []
"""At most one entry."""


def read_contexts(model: PreTrainedModel, spec: EncodeSpec, tokenization_dir: str) -> ReadContexts:
    """The contexts kept of this tokenization as this very model reads them at the SAE's sites; those of another are let go."""
    place = (spec.hook_site, spec.site_out, tokenization_dir)
    for kept_model, kept_place, reads in _last:
        if kept_model() is model and kept_place == place:
            return reads
    _last[:] = [(weakref.ref(model), place, ReadContexts())]
    return _last[0][2]
