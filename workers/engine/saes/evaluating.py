"""Evaluate an SAE on held-out contexts: what it reconstructs, how sparsely, and what splicing it in costs the model.

Two passes, over the first contexts of the held-out part (as many as the token limits need, whatever the batch):

1. cross-entropy of the next token, mean over all tokens but a context's first, three times: the model as it is; the
   SAE's reconstruction in place of the activations at included positions; zeros at the same positions. Position 0 and
   sink tokens pass through untouched in all three, so an SAE that copies its input recovers 1, one that answers 0
   recovers 0.
2. reconstruction: activations at the hook site → FVU, L0, densities, over included positions: all but position 0 and
   sink tokens (positions.py). FVU is given once more with the sinks.

Formulas: engine/metrics.py.
Shapes: N contexts, B contexts at once, T tokens in a context, P included positions, D d_in, F d_sae, V vocabulary.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from workers.engine import metrics
from workers.engine.activations.positions import included_positions
from workers.engine.datasets.contexts import Contexts
from workers.engine.formats.saelens import sae_read
from workers.engine.hooks.capture import capture, replaced
from workers.engine.language_models.loading import language_model_load
from workers.engine.metrics import FvuMeter
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.saes import EvaluateInputs, EvaluateResult, EvaluateSpec

Edit = Callable[[Tensor], Tensor]
"""Activations (…, D) to what takes their place."""
Batch = tuple[Tensor, Tensor]
"""Token ids (B, T) and which places are tokens (B, T)."""
NO_TOKEN = -100
"""Stands for a next token that does not exist."""


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

    def add(self, sae: Sae, x_BTD: Tensor, is_token_BT: Tensor) -> None:
        """Count the activations of some contexts."""
        included_BT = included_positions(x_BTD, sae.encode_spec.sink_threshold, is_token_BT)
        x_PD = x_BTD[:, 1:][is_token_BT[:, 1:]].float()
        is_included_P = included_BT[:, 1:][is_token_BT[:, 1:]]
        x_hat_PD = sae.reconstruct(x_PD)
        self.fvu_with_sinks.add(x_PD, x_hat_PD)
        self.fvu.add(x_PD[is_included_P], x_hat_PD[is_included_P])
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
        ce_recovered=metrics.ce_recovered(ce.clean, ce.sae, ce.zero),
        density_histogram=metrics.density_histogram(density_F),
    )


@dataclass(frozen=True)
class CrossEntropies:
    """Mean cross-entropies of the next token, in nats."""

    clean: float
    sae: float
    zero: float


def reconstruction_of(sae: Sae, model: nn.Module, batches: Iterator[Batch]) -> Reconstruction:
    """The second pass."""
    seen = Reconstruction(sae.encode_spec.d_sae)
    for ids_BT, is_token_BT in batches:
        seen.add(sae, capture(model, ids_BT, sae.encode_spec.hook_site), is_token_BT)
    return seen


def cross_entropies(sae: Sae, model: nn.Module, batches: Iterator[Batch]) -> CrossEntropies:
    """The first pass."""
    site, threshold = sae.encode_spec.hook_site, sae.encode_spec.sink_threshold
    changes: dict[str, Edit] = {"sae": sae.reconstruct, "zero": torch.zeros_like}
    sums, predictions = {"clean": 0.0, "sae": 0.0, "zero": 0.0}, 0
    for ids_BT, is_token_BT in batches:
        sums["clean"] += _ce_sum(model, ids_BT, is_token_BT)
        for name, change in changes.items():
            with replaced(model, site, _at_included(change, threshold, is_token_BT)):
                sums[name] += _ce_sum(model, ids_BT, is_token_BT)
        predictions += int(is_token_BT[:, 1:].sum())
    if not predictions:
        raise BadArtifact("The held-out contexts have one token each.", "Tokenize with longer contexts or documents.")
    return CrossEntropies(**{name: total / predictions for name, total in sums.items()})


def _at_included(change: Edit, sink_threshold: float | None, is_token_BT: Tensor) -> Edit:
    """An edit that changes included positions and lets the others through bit by bit."""

    def edit(x_BTD: Tensor) -> Tensor:
        included_BT = included_positions(x_BTD, sink_threshold, is_token_BT)
        edited_BTD = x_BTD.clone()
        edited_BTD[included_BT] = change(x_BTD[included_BT].float()).to(x_BTD.dtype)
        return edited_BTD

    return edit


def _ce_sum(model: nn.Module, ids_BT: Tensor, is_token_BT: Tensor) -> float:
    """Σ of the cross-entropies of all next tokens, in nats."""
    logits_BTV = model(input_ids=ids_BT, use_cache=False).logits
    next_BT = ids_BT.masked_fill(~is_token_BT, NO_TOKEN)[:, 1:]
    return cross_entropy(
        logits_BTV[:, :-1].flatten(0, 1).float(), next_BT.flatten(), reduction="sum", ignore_index=NO_TOKEN
    ).item()


def _batches(contexts: Contexts, size: int, device: str, progress: Progress) -> Iterator[Batch]:
    """Batches on the device; tells the progress when each is done with."""
    for start in range(0, len(contexts), size):
        batch = contexts[start : start + size]
        ids_BT = torch.from_numpy(np.asarray(batch.tokens, dtype=np.int64))
        yield ids_BT.to(device), torch.from_numpy(batch.is_token).to(device)
        progress.advance(len(batch))
