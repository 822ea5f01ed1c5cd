"""Evaluate an SAE on held-out contexts: what it reconstructs, how sparsely, and what splicing it in costs the model.

Two passes, over the first contexts of the held-out part (as many as the token limits need, whatever the batch):

1. cross-entropy of the next token, mean over all T - 1 predictions of a context, three times: the model as it is; the
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
"""Activations (B, T, D) to what takes their place."""


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

    def add(self, sae: Sae, x_BTD: Tensor) -> None:
        """Count the activations of some contexts."""
        included_BT = included_positions(x_BTD, sae.encode_spec.sink_threshold)
        x_PD = x_BTD[:, 1:].flatten(0, 1).float()
        is_included_P = included_BT[:, 1:].flatten()
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

    ce_tokens = _first_contexts(contexts, spec.ce_tokens)
    progress.phase("cross-entropy", len(ce_tokens), "contexts")
    ce = cross_entropies(sae, model, _batches(ce_tokens, spec.batch_contexts, inputs.device, progress))

    tokens = _first_contexts(contexts, spec.max_tokens)
    progress.phase("reconstruction", len(tokens), "contexts")
    seen = reconstruction_of(sae, model, _batches(tokens, spec.batch_contexts, inputs.device, progress))
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
        ce_tokens=ce_tokens.size,
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


def reconstruction_of(sae: Sae, model: nn.Module, batches: Iterator[Tensor]) -> Reconstruction:
    """The second pass, over batches of token ids (B, T)."""
    seen = Reconstruction(sae.encode_spec.d_sae)
    for ids_BT in batches:
        seen.add(sae, capture(model, ids_BT, sae.encode_spec.hook_site))
    return seen


def cross_entropies(sae: Sae, model: nn.Module, batches: Iterator[Tensor]) -> CrossEntropies:
    """The first pass, over batches of token ids (B, T)."""
    site, threshold = sae.encode_spec.hook_site, sae.encode_spec.sink_threshold
    edits = {
        "sae": _at_included(sae.reconstruct, threshold),
        "zero": _at_included(torch.zeros_like, threshold),
    }
    sums, predictions = {"clean": 0.0, "sae": 0.0, "zero": 0.0}, 0
    for ids_BT in batches:
        sums["clean"] += _ce_sum(model, ids_BT)
        for name, edit in edits.items():
            with replaced(model, site, edit):
                sums[name] += _ce_sum(model, ids_BT)
        predictions += ids_BT[:, 1:].numel()
    return CrossEntropies(**{name: total / predictions for name, total in sums.items()})


def _at_included(change: Callable[[Tensor], Tensor], sink_threshold: float | None) -> Edit:
    """An edit that changes included positions and lets the others through bit by bit."""

    def edit(x_BTD: Tensor) -> Tensor:
        included_BT = included_positions(x_BTD, sink_threshold)
        edited_BTD = x_BTD.clone()
        edited_BTD[included_BT] = change(x_BTD[included_BT].float()).to(x_BTD.dtype)
        return edited_BTD

    return edit


def _ce_sum(model: nn.Module, ids_BT: Tensor) -> float:
    """Σ of the cross-entropies of all next tokens, in nats."""
    logits_BTV = model(input_ids=ids_BT, use_cache=False).logits
    return cross_entropy(logits_BTV[:, :-1].flatten(0, 1).float(), ids_BT[:, 1:].flatten(), reduction="sum").item()


def _first_contexts(contexts: Contexts, tokens: int) -> np.ndarray:
    """As many whole contexts (N, T) as hold `tokens`, from the start."""
    return contexts.tokens[: -(-tokens // contexts.context_length)]


def _batches(tokens: np.ndarray, size: int, device: str, progress: Progress) -> Iterator[Tensor]:
    """Token ids (B, T) on the device; tells the progress when each batch is done with."""
    for start in range(0, len(tokens), size):
        batch = np.asarray(tokens[start : start + size], dtype=np.int64)
        yield torch.from_numpy(batch).to(device)
        progress.advance(len(batch))
