"""CE and KL recovered on a few held-out contexts, measured again and again while SAEs train.

The same measure as in an evaluation (saes/evaluating.py): the model as it is, with the SAE's answer in place of the
activations, with zeros there. What does not change with the SAE is computed once: the clean pass, and zeros at each site.

Shapes: B contexts at once, T tokens in a context, P included positions, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from workers.engine import metrics
from workers.engine.activations.context_order import ContextOrder
from workers.engine.activations.texts import Texts
from workers.engine.language_models.loading import language_model_load
from workers.engine.saes.sae import Sae
from workers.engine.saes.splicing import Answer, spliced
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.sources import Source

KEPT_BYTES = 2**30
"""Clean logits are kept up to this size, and computed each time when they are larger."""


@dataclass(frozen=True)
class _Contexts:
    """Some contexts, for one forward pass."""

    ids_BT: Tensor
    is_token_BT: Tensor

    @property
    def is_counted_BT(self) -> Tensor:
        """(B, T - 1): which next tokens there are."""
        return self.is_token_BT[:, 1:]


@dataclass(frozen=True)
class _Losses:
    """Sums over predictions, in nats."""

    ce: float
    kl: float


class SpliceCheck:
    """`measure` puts an SAE into the language model on the first held-out contexts."""

    def __init__(self, model: PreTrainedModel, batches: tuple[_Contexts, ...], *, device: str) -> None:
        self._model, self._batches, self._device = model, batches, device
        self._kept: dict[int, Tensor] = {}
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
        order_N2 = ContextOrder(texts.sizes).round(0)[: spec.ce_contexts]
        if not (texts.lengths(order_N2) > 1).any():
            return None
        batches = []
        for start in range(0, len(order_N2), spec.batch_contexts):
            ids_BT, is_token_BT = texts.gather(order_N2[start : start + spec.batch_contexts])
            batches.append(_Contexts(ids_BT.to(inputs.device), is_token_BT.to(inputs.device)))
        model = source.model or language_model_load(
            inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
        )
        return cls(model, tuple(batches), device=inputs.device)

    @torch.no_grad()
    def measure(self, sae: Sae) -> dict[str, float]:
        """{"ce_recovered", "kl_recovered"}: 1 when the SAE costs the language model nothing, 0 when it is as bad as zeros.

        One forward pass for each batch of contexts; the first measure at a site takes two or three.
        """
        encode, sae = sae.encode_spec, sae.to(self._device)
        if self._clean_ce is None:
            self._clean_ce = sum(_ce_sum(self._clean(n), batch) for n, batch in enumerate(self._batches))
        key = (encode.hook_site, encode.site_out, encode.sink_threshold)
        if key not in self._zeros:
            self._zeros[key] = self._losses(encode, lambda x_PD: x_PD.new_zeros(len(x_PD), encode.width_out))
        zero, own = self._zeros[key], self._losses(encode, sae.reconstruct)
        return {
            "ce_recovered": metrics.ce_recovered(self._clean_ce, own.ce, zero.ce),
            "kl_recovered": metrics.kl_recovered(own.kl, zero.kl),
        }

    def _losses(self, encode: EncodeSpec, answer: Answer) -> _Losses:
        """With `answer` in place of the activations."""
        ce = kl = 0.0
        for number, batch in enumerate(self._batches):
            with spliced(self._model, encode, answer, batch.is_token_BT):
                changed_BTV = self._logits(batch)
            ce += _ce_sum(changed_BTV, batch)
            kl += _kl_sum(self._clean(number), changed_BTV, batch)
        return _Losses(ce, kl)

    def _clean(self, number: int) -> Tensor:
        """Logits of the model as it is."""
        if number in self._kept:
            return self._kept[number]
        logits_BTV = self._logits(self._batches[number])
        if sum(kept.nbytes for kept in self._kept.values()) + logits_BTV.nbytes <= KEPT_BYTES:
            self._kept[number] = logits_BTV
        return logits_BTV

    def _logits(self, batch: _Contexts) -> Tensor:
        """(B, T - 1, V) in the model's dtype."""
        return self._model(input_ids=batch.ids_BT, use_cache=False).logits[:, :-1]


def _by_context(batch: _Contexts, *logits: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Next tokens (P,) and logits (P, V) in float32 of one context after another: of all, they would be large."""
    for row, is_counted_T in enumerate(batch.is_counted_BT):
        yield batch.ids_BT[row, 1:][is_counted_T], *(each[row][is_counted_T].float() for each in logits)


def _ce_sum(logits_BTV: Tensor, batch: _Contexts) -> float:
    """Σ of the cross-entropies of the tokens that came."""
    return sum(
        cross_entropy(logits_PV, next_P, reduction="sum").item() for next_P, logits_PV in _by_context(batch, logits_BTV)
    )


def _kl_sum(clean_BTV: Tensor, changed_BTV: Tensor, batch: _Contexts) -> float:
    """Σ of KL(clean ‖ changed)."""
    pairs = _by_context(batch, clean_BTV, changed_BTV)
    return sum(metrics.kl_divergence(clean_PV, changed_PV).sum().item() for _, clean_PV, changed_PV in pairs)
