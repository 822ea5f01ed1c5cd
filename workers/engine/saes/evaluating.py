"""Evaluate an SAE on held-out contexts: what it reconstructs, how sparsely, and what splicing it in costs the model.

Two measures, over contexts drawn from the whole held-out part (as many as the token limits need, whatever
the batch):

1. predictions of the next token, for all tokens but a context's first, three times: the model as it is; the SAE's
   reconstruction in place of the activations at included positions; zeros at the same positions. Compared by
   cross-entropy with the token that came, and by KL divergence from the model as it is. Position 0 and sink tokens pass
   through untouched in all three, so an SAE that copies its input recovers 1, one that answers 0 recovers 0.
2. reconstruction: activations at the hook site → FVU, L0, densities, over included positions: all but position 0 and
   sink tokens (positions.py). FVU is given once more with the sinks.

Each context runs once up to the hook site, for all that is measured on it; the three predictions go on from there
(splicing.py). A transcoder reads at its hook site and is put, and measured, at the site that it answers, in the same pass;
its FVU is that of the targets.

Formulas: engine/metrics.py.
Shapes: N contexts, B contexts at once, T tokens in a context, P included positions, D d_in, E d_out, F d_sae, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine import metrics
from workers.engine.activations.positions import included_positions, is_one_of
from workers.engine.activations.sinks import SAMPLE_SEED
from workers.engine.datasets.contexts import Contexts
from workers.engine.formats.saelens import sae_read
from workers.engine.hooks.resuming import resumed
from workers.engine.language_models.context_fit import contexts_check
from workers.engine.language_models.loading import language_model_load
from workers.engine.language_models.reading_as import read_as
from workers.engine.metrics import FvuMeter
from workers.engine.progress import Progress
from workers.engine.saes.predictions import ce_sum, kl_sum, next_logits
from workers.engine.saes.sae import Sae
from workers.engine.saes.splicing import Answer, SitesRead, sites_read, spliced, zeros_of
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.saes import EvaluateInputs, EvaluateResult, EvaluateSpec

Batch = tuple[Tensor, Tensor]
"""Token ids (B, T) and which places are tokens (B, T)."""


class Reconstruction:
    """Sums for FVU, L0 and densities of an SAE."""

    def __init__(self, sae: Sae, trained_length: int | None = None) -> None:
        """`trained_length`: positions of a context that the training had as well; None for all."""
        self._sae, self._trained_length = sae, trained_length
        self.fvu, self.fvu_with_sinks, self.fvu_as_trained = FvuMeter(), FvuMeter(), FvuMeter()
        self.fired_F = torch.zeros(sae.encode_spec.d_sae, dtype=torch.long)
        self.tokens = self.sink_tokens = self.special_tokens = 0

    def add(self, batch: Batch, read: SitesRead) -> None:
        """Count some contexts."""
        ids_BT, is_token_BT = batch
        spec = self._sae.encode_spec
        is_special_BT = is_token_BT & is_one_of(ids_BT, spec.excluded_tokens)
        included_BT = included_positions(read.x_BTD, spec.sink_threshold, is_token_BT & ~is_special_BT)
        x_PD, y_PE = (v[:, 1:][is_token_BT[:, 1:]].float() for v in (read.x_BTD, read.y_BTE))
        is_included_P = included_BT[:, 1:][is_token_BT[:, 1:]]
        answer_PE = self._sae.reconstruct(x_PD)
        self.fvu_with_sinks.add(y_PE, answer_PE)
        self.fvu.add(y_PE[is_included_P], answer_PE[is_included_P])
        if self._trained_length is not None:
            is_near_BT = torch.arange(is_token_BT.shape[1], device=is_token_BT.device) < self._trained_length
            is_near_P = is_included_P & is_near_BT.expand_as(is_token_BT)[:, 1:][is_token_BT[:, 1:]]
            self.fvu_as_trained.add(y_PE[is_near_P], answer_PE[is_near_P])
        self.fired_F += self._sae.encode_sparse(x_PD[is_included_P]).counts().cpu()
        tokens = int(is_included_P.sum())
        self.tokens += tokens
        special_tokens = int(is_special_BT[:, 1:].sum())
        self.special_tokens += special_tokens
        self.sink_tokens += len(x_PD) - tokens - special_tokens


@torch.no_grad()
def evaluate(spec: EvaluateSpec, inputs: EvaluateInputs, progress: Progress) -> EvaluateResult:
    """Measure the SAE in `inputs.sae_dir`; writes density.safetensors (`density` (F,) float32) into out_dir."""
    progress.phase("loading the language model")
    sae = sae_read(inputs.sae_dir).to(inputs.device)
    contexts = Contexts.open(inputs.tokenization_dir, "heldout").drawn(
        max(spec.ce_tokens, spec.max_tokens), SAMPLE_SEED
    )
    if len(contexts) == 0:
        raise BadArtifact("The tokenization holds out no contexts.", "Tokenize a dataset with more documents.")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )

    contexts_check(model, largest_id=int(contexts.tokens.max()), context_length=contexts.context_length)
    trained_length = inputs.trained_context_length
    is_beyond = trained_length is not None and contexts.context_length > trained_length
    seen = Reconstruction(sae, trained_length if is_beyond else None)
    predicted = Predictions(sae, model)
    ce_count, seen_count = contexts.count_reaching(spec.ce_tokens), contexts.count_reaching(spec.max_tokens)
    both = min(ce_count, seen_count)
    for phase, part, meters in (
        ("cross-entropy and reconstruction", contexts[:both], (seen, predicted)),
        ("cross-entropy", contexts[both:ce_count], (predicted,)),
        ("reconstruction", contexts[both:seen_count], (seen,)),
    ):
        if len(part):
            progress.phase(phase, len(part), "contexts")
        for batch in _batches(part, spec.batch_contexts, inputs.device, progress):
            read = sites_read(model, batch[0], sae.encode_spec)
            for meter in meters:
                meter.add(batch, read)
    ce = predicted.means()
    if seen.tokens == 0:
        raise BadArtifact(
            "Position 0 and sink tokens are all there is in the held-out contexts.",
            "Use the language model and hook site that the SAE was trained on.",
        )

    density_F = metrics.density(seen.fired_F, seen.tokens)
    save_file({"density": density_F}, Path(inputs.out_dir) / "density.safetensors")
    return EvaluateResult(
        tokens=seen.tokens,
        sink_tokens=seen.sink_tokens,
        special_tokens=seen.special_tokens,
        fvu=seen.fvu.value(),
        fvu_with_sinks=seen.fvu_with_sinks.value(),
        l0=metrics.l0(seen.fired_F, seen.tokens),
        dead_share=metrics.dead_share(seen.fired_F),
        ce_tokens=contexts[:ce_count].token_count,
        ce_clean=ce.clean,
        ce_sae=ce.sae,
        ce_zero=ce.zero,
        ce_recovered=ce.ce_recovered,
        kl_sae=ce.kl_sae,
        kl_zero=ce.kl_zero,
        kl_recovered=ce.kl_recovered,
        density_histogram=metrics.density_histogram(density_F),
        fvu_as_trained=metrics.known(seen.fvu_as_trained.value()) if is_beyond else None,
        read_as=read_as(model, inputs.quantization, inputs.model_dir, context_length=contexts.context_length),
    )


@dataclass(frozen=True)
class CrossEntropies:
    """Means over predictions, in nats: cross-entropy of the token that came, KL divergence from the clean model."""

    clean: float
    sae: float
    zero: float
    kl_sae: float
    kl_zero: float

    @property
    def ce_recovered(self) -> float | None:
        """1 when the SAE costs the language model nothing, 0 when it is as bad as zeros; None when zeros cost nothing."""
        return metrics.known(metrics.ce_recovered(self.clean, self.sae, self.zero))

    @property
    def kl_recovered(self) -> float | None:
        """The same by divergence from the clean predictions: also sees changes that no token punishes."""
        return metrics.known(metrics.kl_recovered(self.kl_sae, self.kl_zero))


class Predictions:
    """Sums of cross-entropies and divergences with an SAE in a language model. Both are on the device of the batches."""

    def __init__(self, sae: Sae, model: PreTrainedModel) -> None:
        self._spec, self._model = sae.encode_spec, model
        self._answers: dict[str, Answer] = {"sae": sae.reconstruct, "zero": zeros_of(sae.encode_spec)}
        self._sums = dict.fromkeys(("clean", "sae", "zero", "kl_sae", "kl_zero"), 0.0)
        self._count = 0

    def add(self, batch: Batch, read: SitesRead) -> None:
        """Count some contexts: three passes above the SAE's sites."""
        ids_BT, is_token_BT = batch
        is_counted_BT = is_token_BT & ~is_one_of(ids_BT, self._spec.excluded_tokens)
        with resumed(self._model, read.passed):
            clean_BTV = next_logits(self._model, ids_BT)
            self._sums["clean"] += ce_sum(clean_BTV, ids_BT, is_token_BT)
            for name, answer in self._answers.items():
                with spliced(self._model, self._spec, answer, is_counted_BT):
                    changed_BTV = next_logits(self._model, ids_BT)
                self._sums[name] += ce_sum(changed_BTV, ids_BT, is_token_BT)
                self._sums[f"kl_{name}"] += kl_sum(clean_BTV, changed_BTV, ids_BT, is_token_BT)
        self._count += int(is_token_BT[:, 1:].sum())

    def means(self) -> CrossEntropies:
        """Over all that was counted. Raises BadArtifact when no token was predicted."""
        if not self._count:
            raise BadArtifact(
                "The held-out contexts have one token each.", "Tokenize with longer contexts or documents."
            )
        return CrossEntropies(**{name: total / self._count for name, total in self._sums.items()})


def _batches(contexts: Contexts, size: int, device: str, progress: Progress) -> Iterator[Batch]:
    """Batches on the device; tells the progress when each is done with."""
    for start in range(0, len(contexts), size):
        batch = contexts[start : start + size]
        ids_BT = torch.from_numpy(np.asarray(batch.tokens, dtype=np.int64))
        yield ids_BT.to(device), torch.from_numpy(batch.is_token).to(device)
        progress.advance(len(batch))
