"""CE and KL recovered on a few held-out contexts, measured again and again while SAEs train.

The same measure as in an evaluation (saes/evaluating.py): the model as it is, with the SAE's answer in place of the
activations, with zeros there. What does not change with the SAE is computed once: the clean pass, and for each site zeros
and the blocks below it.

Shapes: B contexts at once, T tokens in a context, V vocabulary.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine import metrics
from workers.engine.activations.context_order import ContextOrder
from workers.engine.activations.positions import is_one_of
from workers.engine.activations.sinks import SAMPLE_SEED
from workers.engine.activations.texts import Texts
from workers.engine.hooks.resuming import Passed, resumed
from workers.engine.language_models.loading import language_model_load
from workers.engine.saes.predictions import ce_sum, kl_sum, next_logits
from workers.engine.saes.sae import Sae
from workers.engine.saes.splicing import Answer, blocks_below, sites_read, spliced, zeros_of
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.sources import Source

KEPT_BYTES = 2**30
"""Clean logits and what the blocks below sites gave are kept up to this size; what is beyond is computed each time."""
Kept = TypeVar("Kept", Tensor, Passed)


@dataclass(frozen=True)
class _Losses:
    """Sums over predictions, in nats."""

    ce: float
    kl: float


class SpliceCheck:
    """`measure` puts an SAE into the language model on some held-out contexts."""

    def __init__(self, model: PreTrainedModel, batches: tuple[tuple[Tensor, Tensor], ...], *, device: str) -> None:
        """`batches`: token ids (B, T) and which places are tokens (B, T)."""
        self._model, self._batches, self._device = model, batches, device
        self._kept: dict[Hashable, Tensor | Passed] = {}
        self._clean_ce: float | None = None
        self._zeros: dict[tuple[HookSite, HookSite, float | None], _Losses] = {}

    @classmethod
    def open(cls, spec: TrainSpec, inputs: TrainInputs, source: Source) -> Self | None:
        """None when none is wanted, or there is no language model or no held-out prediction to measure on.

        A source that reads text has the language model in memory, and it is that one which is used.
        """
        if spec.ce_contexts == 0 or not (inputs.model_dir and inputs.tokenization_dirs):
            return None
        texts = Texts.open(inputs.tokenization_dirs, "heldout")
        order_N2 = ContextOrder(texts.sizes, seed=SAMPLE_SEED).round(0)[: spec.ce_contexts]
        if not (texts.lengths(order_N2) > 1).any():
            return None
        batches = []
        for start in range(0, len(order_N2), spec.batch_contexts):
            ids_BT, is_token_BT = texts.gather(order_N2[start : start + spec.batch_contexts])
            batches.append((ids_BT.to(inputs.device), is_token_BT.to(inputs.device)))
        model = source.model or language_model_load(
            inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
        )
        return cls(model, tuple(batches), device=inputs.device)

    @torch.no_grad()
    def measure(self, sae: Sae) -> dict[str, float]:
        """{"ce_recovered", "kl_recovered"}: 1 when the SAE costs the language model nothing, 0 when it is as bad as zeros.
        What has no value, since zeros cost nothing, is left out.

        One pass above the site for each batch of contexts; the first measure at a site takes one or two whole ones more.
        """
        encode, sae = sae.encode_spec, sae.to(self._device)
        if self._clean_ce is None:
            self._clean_ce = sum(ce_sum(self._clean(number), *batch) for number, batch in enumerate(self._batches))
        key = (
            encode.hook_site,
            encode.site_out,
            encode.sink_threshold,
        )  # what is excluded is the same for all of a training
        if key not in self._zeros:
            self._zeros[key] = self._losses(encode, zeros_of(encode))
        zero, own = self._zeros[key], self._losses(encode, sae.reconstruct)
        recovered = {
            "ce_recovered": metrics.ce_recovered(self._clean_ce, own.ce, zero.ce),
            "kl_recovered": metrics.kl_recovered(own.kl, zero.kl),
        }
        return {name: value for name, value in recovered.items() if metrics.known(value) is not None}

    def _losses(self, encode: EncodeSpec, answer: Answer) -> _Losses:
        """With `answer` in place of the activations."""
        ce = kl = 0.0
        for number, (ids_BT, is_token_BT) in enumerate(self._batches):
            is_counted_BT = is_token_BT & ~is_one_of(ids_BT, encode.excluded_tokens)
            with resumed(self._model, self._below(number, encode)), spliced(self._model, encode, answer, is_counted_BT):
                changed_BTV = next_logits(self._model, ids_BT)
            ce += ce_sum(changed_BTV, ids_BT, is_token_BT)
            kl += kl_sum(self._clean(number), changed_BTV, ids_BT, is_token_BT)
        return _Losses(ce, kl)

    def _clean(self, number: int) -> Tensor:
        """Logits (B, T - 1, V) of the model as it is."""
        ids_BT, _ = self._batches[number]
        return self._keep(number, lambda: next_logits(self._model, ids_BT))

    def _below(self, number: int, encode: EncodeSpec) -> Passed:
        """The batch's pass through the blocks that lie below the SAE's sites."""
        ids_BT, _ = self._batches[number]
        return self._keep((number, blocks_below(encode)), lambda: sites_read(self._model, ids_BT, encode).passed)

    def _keep(self, key: Hashable, compute: Callable[[], Kept]) -> Kept:
        """What is kept under the key, else what `compute` gives, which is kept while there is room."""
        if key in self._kept:
            return self._kept[key]
        found = compute()
        if sum(kept.nbytes for kept in self._kept.values()) + found.nbytes <= KEPT_BYTES:
            self._kept[key] = found
        return found
