"""Evaluate an SAE on held-out contexts: what it reconstructs, how sparsely, and what splicing it in costs the model.

Two passes, over the first contexts of the held-out part (as many as the token limits need, whatever the batch):

1. predictions of the next token, for all tokens but a context's first, three times: the model as it is; the SAE's
   reconstruction in place of the activations at included positions; zeros at the same positions. Compared by
   cross-entropy with the token that came, and by KL divergence from the model as it is. Position 0 and sink tokens pass
   through untouched in all three, so an SAE that copies its input recovers 1, one that answers 0 recovers 0.
2. reconstruction: activations at the hook site → FVU, L0, densities, over included positions: all but position 0 and
   sink tokens (positions.py). FVU is given once more with the sinks.

A transcoder reads at its hook site and is put, and measured, at the site that it answers, in the same pass (splicing.py);
its FVU is that of the targets.

Formulas: engine/metrics.py.
Shapes: N contexts, B contexts at once, T tokens in a context, P included positions, D d_in, E d_out, F d_sae, V vocabulary.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine import metrics
from workers.engine.activations.positions import included_positions
from workers.engine.datasets.contexts import Contexts
from workers.engine.formats.saelens import sae_read
from workers.engine.language_models.loading import language_model_load
from workers.engine.metrics import FvuMeter
from workers.engine.progress import Progress
from workers.engine.saes.predictions import ce_sum, kl_sum, next_logits
from workers.engine.saes.sae import Sae
from workers.engine.saes.splicing import Answer, read_and_answered, spliced
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.saes import EvaluateInputs, EvaluateResult, EvaluateSpec

Batch = tuple[Tensor, Tensor]
"""Token ids (B, T) and which places are tokens (B, T)."""


@dataclass
class Reconstruction:
    """What the second pass counts."""

    d_sae: int
    fvu: FvuMeter = field(default_factory=FvuMeter)
    fvu_with_sinks: FvuMeter = field(default_factory=FvuMeter)
    tokens: int = 0
    sink_tokens: int = 0

    def __post_init__(self) -> None:
        self.fired_F = torch.zeros(self.d_sae, dtype=torch.long)

    def add(self, sae: Sae, x_BTD: Tensor, y_BTE: Tensor, is_token_BT: Tensor) -> None:
        """Count some contexts: activations read, and those answered (the same for an autoencoder)."""
        included_BT = included_positions(x_BTD, sae.encode_spec.sink_threshold, is_token_BT)
        x_PD, y_PE = (v[:, 1:][is_token_BT[:, 1:]].float() for v in (x_BTD, y_BTE))
        is_included_P = included_BT[:, 1:][is_token_BT[:, 1:]]
        answer_PE = sae.reconstruct(x_PD)
        self.fvu_with_sinks.add(y_PE, answer_PE)
        self.fvu.add(y_PE[is_included_P], answer_PE[is_included_P])
        self.fired_F += sae.encode_sparse(x_PD[is_included_P]).counts().cpu()
        tokens = int(is_included_P.sum())
        self.tokens += tokens
        self.sink_tokens += len(x_PD) - tokens


@torch.no_grad()
def evaluate(spec: EvaluateSpec, inputs: EvaluateInputs, progress: Progress) -> EvaluateResult:
    """Measure the SAE in `inputs.sae_dir`; writes density.safetensors (`density` (F,) float32) into out_dir."""
    progress.phase("loading the language model")
    sae = sae_read(inputs.sae_dir).to(inputs.device)
    contexts = Contexts.open(inputs.tokenization_dir, "heldout")
    if len(contexts) == 0:
        raise BadArtifact("The tokenization holds out no contexts.", "Tokenize a dataset with more documents.")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )

    ce_contexts = contexts[: contexts.count_reaching(spec.ce_tokens)]
    progress.phase("cross-entropy", len(ce_contexts), "contexts")
    ce = cross_entropies(sae, model, _batches(ce_contexts, spec.batch_contexts, inputs.device, progress))

    read = contexts[: contexts.count_reaching(spec.max_tokens)]
    progress.phase("reconstruction", len(read), "contexts")
    seen = reconstruction_of(sae, model, _batches(read, spec.batch_contexts, inputs.device, progress))
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
        fvu=seen.fvu.value(),
        fvu_with_sinks=seen.fvu_with_sinks.value(),
        l0=metrics.l0(seen.fired_F, seen.tokens),
        dead_share=metrics.dead_share(seen.fired_F),
        ce_tokens=ce_contexts.token_count,
        ce_clean=ce.clean,
        ce_sae=ce.sae,
        ce_zero=ce.zero,
        ce_recovered=ce.ce_recovered,
        kl_sae=ce.kl_sae,
        kl_zero=ce.kl_zero,
        kl_recovered=ce.kl_recovered,
        density_histogram=metrics.density_histogram(density_F),
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
    def ce_recovered(self) -> float:
        """1 when the SAE costs the language model nothing, 0 when it is as bad as zeros."""
        return metrics.ce_recovered(self.clean, self.sae, self.zero)

    @property
    def kl_recovered(self) -> float:
        """The same by divergence from the clean predictions: also sees changes that no token punishes."""
        return metrics.kl_recovered(self.kl_sae, self.kl_zero)


def reconstruction_of(sae: Sae, model: PreTrainedModel, batches: Iterable[Batch]) -> Reconstruction:
    """The second pass."""
    seen = Reconstruction(sae.encode_spec.d_sae)
    for ids_BT, is_token_BT in batches:
        seen.add(sae, *read_and_answered(model, ids_BT, sae.encode_spec), is_token_BT)
    return seen


@torch.no_grad()
def cross_entropies(sae: Sae, model: PreTrainedModel, batches: Iterable[Batch]) -> CrossEntropies:
    """The first pass: three forward passes for each batch. `sae`, model and batches are on one device."""
    width = sae.encode_spec.width_out
    answers: dict[str, Answer] = {"sae": sae.reconstruct, "zero": lambda x_PD: x_PD.new_zeros(len(x_PD), width)}
    sums, predictions = dict.fromkeys(("clean", "sae", "zero", "kl_sae", "kl_zero"), 0.0), 0
    for ids_BT, is_token_BT in batches:
        clean_BTV = next_logits(model, ids_BT)
        sums["clean"] += ce_sum(clean_BTV, ids_BT, is_token_BT)
        for name, answer in answers.items():
            with spliced(model, sae.encode_spec, answer, is_token_BT):
                changed_BTV = next_logits(model, ids_BT)
            sums[name] += ce_sum(changed_BTV, ids_BT, is_token_BT)
            sums[f"kl_{name}"] += kl_sum(clean_BTV, changed_BTV, ids_BT, is_token_BT)
        predictions += int(is_token_BT[:, 1:].sum())
    if not predictions:
        raise BadArtifact("The held-out contexts have one token each.", "Tokenize with longer contexts or documents.")
    return CrossEntropies(**{name: total / predictions for name, total in sums.items()})


def _batches(contexts: Contexts, size: int, device: str, progress: Progress) -> Iterator[Batch]:
    """Batches on the device; tells the progress when each is done with."""
    for start in range(0, len(contexts), size):
        batch = contexts[start : start + size]
        ids_BT = torch.from_numpy(np.asarray(batch.tokens, dtype=np.int64))
        yield ids_BT.to(device), torch.from_numpy(batch.is_token).to(device)
        progress.advance(len(batch))
