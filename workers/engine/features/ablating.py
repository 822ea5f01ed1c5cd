"""Measured ablation: the language model with one feature taken out, beside the model as it is.

At every position where the feature fires, its part of the reconstruction is subtracted at the site that the SAE answers:

    x ← x - f_i W_dec,i          in the units of x, whatever the SAE's gauge and normalisation (Sae.contribution)

so the SAE's error and all other features stay. Position 0 and sink tokens pass through. Measured is, for each token but a
context's first, Δ = CE(ablated) - CE(clean) of the token that came. A context in which the feature never fires has Δ = 0
without being run again. Top contexts are those of the feature run; random ones are drawn from the whole tokenization.

The blocks below the site run once for a context, both passes go on from there; and what does not hang on the feature, the
activations and the clean cross-entropies, is kept for the next feature, whose random contexts are the same
(read_contexts.py).

Shapes: T tokens of a context, D d_in, E d_out, P = T - 1 predictions.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from workers.engine.activations.positions import included_positions, is_one_of
from workers.engine.datasets.contexts import PARTS, Contexts
from workers.engine.features.read_contexts import ReadContext, context_read, read_contexts
from workers.engine.formats.saelens import sae_read
from workers.engine.hooks.capture import replaced
from workers.engine.language_models.context_fit import contexts_check
from workers.engine.language_models.loading import language_model_load, tokenizer_load
from workers.engine.language_models.reading_as import read_as
from workers.engine.metrics import clustered_mean, known
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.specs.ablation import AblatedContext, AblateInputs, AblateResult, AblateSpec, AblationEffect
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.features import TOP_GROUP
from workers.engine.tensor_file import tensor_file_open

SHOWN = 10
"""Top contexts whose tokens are kept."""
SHOWN_BEFORE, SHOWN_AFTER = 24, 48
DIGITS = 5
"""Decimals kept of the tokens' values: they are tints and tips."""


@dataclass(frozen=True)
class Ablated:
    """One context. `delta_P` and `ce_P` (clean) belong to tokens 1…; `ce_P` is None where the model was not run."""

    ids_T: Tensor
    f_T: Tensor
    delta_P: Tensor
    ce_P: Tensor | None

    @property
    def peak(self) -> int:
        return int(self.f_T.argmax())


def ablate(spec: AblateSpec, inputs: AblateInputs, progress: Progress) -> AblateResult:
    """Measure what the language model loses without feature `spec.index`. Raises BadArtifact when the feature run has no
    top contexts of it, Stopped."""
    began = time.monotonic()
    progress.phase("loading the model")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    sae = sae_read(inputs.sae_dir).with_unit_decoder().to(inputs.device)
    parts = [Contexts.open(inputs.tokenization_dir, part) for part in PARTS]
    reads = read_contexts(model, sae.encode_spec, inputs.tokenization_dir)
    top_ids = _top_contexts(inputs.run_dir, spec.index)[: spec.top_contexts]
    random_ids = _random_contexts(sum(map(len, parts)), spec)
    progress.phase("ablating", len(top_ids) + len(random_ids), "contexts")
    measured: dict[str, list[Ablated]] = {"top": [], "random": []}
    for name, numbers in (("top", top_ids), ("random", random_ids)):
        for number in numbers:
            read = reads.get(number)
            if read is None:
                ids_T = _tokens(parts, number)
                contexts_check(model, largest_id=int(ids_T.max()), context_length=len(ids_T))
                read = reads.keep(number, context_read(model, sae.encode_spec, ids_T))
            measured[name].append(context_ablate(model, sae, spec.index, read))
            reads.trim()
            progress.advance()
    top, random = measured["top"], measured["random"]
    tokenizer = tokenizer_load(inputs.model_dir)
    ce_P = torch.cat([each.ce_P for each in top if each.ce_P is not None] or [torch.zeros(0)])
    return AblateResult(
        top=effect([each.delta_P for each in top]),
        at_peak=effect([each.delta_P[each.peak : each.peak + 1] for each in top]),
        after_peak=effect([each.delta_P[each.peak + 1 :] for each in top]),
        random=effect([each.delta_P for each in random]),
        top_firings=_firings(top),
        random_firings=_firings(random),
        random_contexts_firing=sum(bool((each.f_T > 0).any()) for each in random),
        top_ce_clean=float(ce_P.mean()) if len(ce_P) else 0.0,
        shown=tuple(_shown(tokenizer, number, each) for number, each in zip(top_ids[:SHOWN], top)),
        seconds=time.monotonic() - began,
        read_as=read_as(model, inputs.quantization, inputs.model_dir, context_length=parts[0].context_length),
    )


@torch.no_grad()
def context_ablate(model: PreTrainedModel, sae: Sae, latent: int, read: ReadContext) -> Ablated:
    """One context with `latent` subtracted wherever it fires; the result is on the CPU."""
    f_T = _activations(sae, latent, read)
    fires_T = f_T > 0
    if not fires_T.any() or len(read.ids_T) < 2:
        return Ablated(read.ids_T, f_T.cpu(), torch.zeros(max(0, len(read.ids_T) - 1)), None)
    part_NE = sae.contribution(latent, f_T[fires_T], read.x_TD[fires_T])

    def without(y_1TE: Tensor) -> Tensor:
        y_1TE = y_1TE.clone()
        y_1TE[0, fires_T] = (y_1TE[0, fires_T].float() - part_NE).to(y_1TE.dtype)
        return y_1TE

    with replaced(model, sae.encode_spec.site_out, without):
        ablated_P = read.ce_tokens(model)
    clean_P = read.clean_ce(model)
    return Ablated(read.ids_T, f_T.cpu(), (ablated_P - clean_P).cpu(), clean_P.cpu())


def effect(deltas: Sequence[Tensor]) -> AblationEffect:
    """Mean Δ and its standard error over contexts' predictions, one tensor for each context; empty ones count for nothing."""
    deltas = [delta_P for delta_P in deltas if len(delta_P)]
    counts_C = torch.tensor([len(delta_P) for delta_P in deltas])
    sums_C = torch.tensor([delta_P.double().sum().item() for delta_P in deltas])
    mean, stderr = clustered_mean(sums_C, counts_C)
    return AblationEffect(
        mean=known(mean),
        stderr=known(stderr),
        predictions=int(counts_C.sum()),
        contexts=len(deltas),
    )


def _activations(sae: Sae, latent: int, read: ReadContext) -> Tensor:
    """The latent's activation (T,) float32, 0 at position 0, at sink tokens and at special ones that the SAE passes by."""
    x_TD, is_counted_1T = read.x_TD, ~is_one_of(read.ids_T[None], sae.encode_spec.excluded_tokens)
    is_included_T = included_positions(x_TD[None], sae.encode_spec.sink_threshold, is_counted_1T)[0]
    fired = sae.encode_sparse(x_TD[is_included_T])
    own = fired.latent_N == latent
    f_P = x_TD.new_zeros(fired.tokens, dtype=torch.float32)
    f_P[fired.token_N[own]] = fired.value_N[own]
    f_T = x_TD.new_zeros(len(x_TD), dtype=torch.float32)
    f_T[is_included_T] = f_P
    return f_T


def _top_contexts(run_dir: str, latent: int) -> list[int]:
    """Numbers of the contexts in which the feature run found it strongest, strongest first."""
    examples = tensor_file_open(Path(run_dir) / "examples.safetensors")
    if latent >= len(examples["context"]):
        raise BadArtifact(f"The feature run knows no feature {latent}.", "Start another feature run for this SAE.")
    numbers_S = np.asarray(examples["context"][latent])
    found = numbers_S[(np.asarray(examples["group"]) == TOP_GROUP) & (numbers_S >= 0)]
    if not len(found):
        raise BadArtifact("The feature fired nowhere in its feature run.", "There is nothing to take out.")
    return found.tolist()


def _random_contexts(there: int, spec: AblateSpec) -> list[int]:
    generator = np.random.default_rng(spec.seed)
    return generator.choice(there, min(spec.random_contexts, there), replace=False).tolist()


def _tokens(parts: Sequence[Contexts], number: int) -> Tensor:
    """Token ids (T,) of context `number`, counted through all parts as feature runs do."""
    for part in parts:
        if number < len(part):
            ids = part.tokens[number, : part.lengths[number]]
            return torch.from_numpy(np.asarray(ids, dtype=np.int64))
        number -= len(part)
    raise BadArtifact(
        "The feature run read contexts that the tokenization lacks.", "Start another feature run for this SAE."
    )


def _firings(contexts: Sequence[Ablated]) -> int:
    return sum(int((each.f_T > 0).sum()) for each in contexts)


def _shown(tokenizer: PreTrainedTokenizerBase, number: int, each: Ablated) -> AblatedContext:
    start, stop = max(0, each.peak - SHOWN_BEFORE), each.peak + SHOWN_AFTER + 1
    delta_T = torch.cat([torch.zeros(1), each.delta_P])
    return AblatedContext(
        context=number,
        tokens=tuple(token or "" for token in tokenizer.convert_ids_to_tokens(each.ids_T[start:stop].tolist())),
        activations=tuple(round(value, DIGITS) for value in each.f_T[start:stop].tolist()),
        deltas=tuple(round(value, DIGITS) for value in delta_T[start:stop].tolist()),
        peak=each.peak - start,
    )
