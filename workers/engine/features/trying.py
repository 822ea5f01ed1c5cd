"""Try a text: what an SAE reads in it, token by token. A warm child runs this, so the language model stays loaded.

A text is read as the SAE's training read contexts: behind the first token where those begin with it; position 0 and sink
tokens carry no features.
Activations are those of feature runs (unit gauge), so they can be held against a feature's maximum.

Shapes: T tokens of a text, D d_in, F d_sae.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from workers.engine.activations.positions import included_positions, is_one_of
from workers.engine.formats.saelens import sae_read
from workers.engine.hooks.capture import capture
from workers.engine.language_models.context_fit import longest_context
from workers.engine.language_models.loading import language_model_load, tokenizer_load
from workers.engine.language_models.reading_as import read_as
from workers.engine.language_models.token_ids import prompt_ids
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.specs.errors import BadArtifact, EngineError, SpecInvalid
from workers.engine.specs.try_text import (
    TokenFeatures,
    TriedFeature,
    TriedText,
    TryTextInputs,
    TryTextResult,
    TryTextSpec,
)
from workers.engine.tensor_file import tensor_file_open


def try_text(spec: TryTextSpec, inputs: TryTextInputs, progress: Progress) -> TryTextResult:
    """Features of one text, or of two side by side.

    Raises SpecInvalid for a text longer than the model's context, for a watched feature that the SAE lacks and for a ranking
    by rarity without a feature run, BadArtifact, Stopped.
    """
    began = time.monotonic()
    progress.phase("loading the model")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    tokenizer = tokenizer_load(inputs.model_dir)
    sae = sae_read(inputs.sae_dir).with_unit_decoder().to(inputs.device)
    unknown = [index for index in spec.watched if index >= sae.encode_spec.d_sae]
    if unknown:
        last = sae.encode_spec.d_sae - 1
        raise SpecInvalid(f"The SAE has no feature {unknown[0]:,}.", f"Its last is {last:,}.", field="watched")
    rarity_F = _rarity(inputs.run_dir, sae.encode_spec.d_sae) if spec.rank_by == "rare" else None
    progress.phase("reading", len(spec.texts), "texts")
    texts, latents, strengths = [], [], []
    for field, text in zip(("text", "other"), spec.texts):
        ids = prompt_ids(tokenizer, text, prepend_bos=inputs.prepend_bos)
        _length_check(model, ids, field)
        f_TF, is_included_T = _latents(model, sae, ids)
        texts.append(_tried(spec, tokenizer, ids, f_TF, is_included_T))
        latents.append(f_TF)
        strengths.append(_strength(spec.rank_by, f_TF[is_included_T], rarity_F))
        progress.advance()
    features = _features(spec, latents, torch.stack(strengths))
    longest = max(len(text.tokens) for text in texts)
    return TryTextResult(
        texts=tuple(texts),
        features=features,
        seconds=time.monotonic() - began,
        read_as=read_as(model, inputs.quantization, inputs.model_dir, context_length=longest),
    )


def _rarity(run_dir: str, latents: int) -> Tensor:
    """log(1 / density) (F,) by the feature run; one that fired on none of its n tokens counts as one of n + 1."""
    if not run_dir:
        raise SpecInvalid("The SAE has no feature run: nobody knows what is rare.", "Start one.", field="rank_by")
    statistics = tensor_file_open(Path(run_dir) / "statistics.safetensors")
    density_F, count_F = np.asarray(statistics["density"], np.float64), np.asarray(statistics["count"])
    if len(density_F) != latents:
        raise BadArtifact("The feature run describes another SAE.", "Start another feature run.")
    fires_F = count_F > 0
    tokens = (count_F[fires_F] / density_F[fires_F]).max(initial=1.0)
    return torch.from_numpy(-np.log(np.where(fires_F, density_F, 1 / (tokens + 1)))).float()


def _strength(rank_by: str, f_PF: Tensor, rarity_F: Tensor | None) -> Tensor:
    """How strong each feature (F,) is in a text, of the positions read alone; 0 exactly where it is silent."""
    if not len(f_PF):
        return f_PF.new_zeros(f_PF.shape[1])
    if rank_by == "mean":
        return f_PF.mean(0)
    return f_PF.amax(0) if rarity_F is None else f_PF.amax(0) * rarity_F


def _length_check(model: PreTrainedModel, ids: list[int], field: str) -> None:
    """Raise SpecInvalid for a text of no tokens, or of more than the model has positions."""
    if not ids:
        raise SpecInvalid("The text has no tokens.", "Write some words.", field=field)
    room = longest_context(model.config)
    if room is not None and len(ids) > room:
        raise SpecInvalid(
            f"The text has {len(ids):,} tokens; the model has {room:,} positions.", "Shorten it.", field=field
        )


def _latents(model: PreTrainedModel, sae: Sae, ids: list[int]) -> tuple[Tensor, Tensor]:
    """f (T, F) on the CPU, 0 where nothing is read, and which positions (T,) are read."""
    is_counted_1T = ~is_one_of(torch.tensor([ids]), sae.encode_spec.excluded_tokens)
    x_TD = capture(model, torch.tensor([ids]), sae.encode_spec.hook_site)[0]
    if not x_TD.isfinite().all():
        raise EngineError(
            f"The language model's activations at {sae.encode_spec.hook_site} are not finite for this text.",
            "Choose float32 as the model's precision; if it stays so, the model's weights are damaged.",
            code="activations_not_finite",
        )
    is_included_T = included_positions(x_TD[None], sae.encode_spec.sink_threshold, is_counted_1T)[0]
    f_TF = torch.zeros(len(ids), sae.encode_spec.d_sae)
    f_TF[is_included_T.cpu()] = sae.encode_sparse(x_TD[is_included_T]).dense().cpu()
    return f_TF, is_included_T.cpu()


def _tried(
    spec: TryTextSpec, tokenizer: PreTrainedTokenizerBase, ids: list[int], f_TF: Tensor, is_included_T: Tensor
) -> TriedText:
    best = f_TF.topk(min(spec.per_token, f_TF.shape[1]), dim=-1)
    strongest = []
    for values, indices in zip(best.values, best.indices):
        fires = values > 0
        strongest.append(TokenFeatures(indices=tuple(indices[fires].tolist()), values=tuple(values[fires].tolist())))
    return TriedText(
        tokens=tuple(token or "" for token in tokenizer.convert_ids_to_tokens(ids)),
        token_ids=tuple(ids),
        is_included=tuple(is_included_T.tolist()),
        strongest=tuple(strongest),
        firing=int((f_TF > 0).any(0).sum()),
    )


def _features(spec: TryTextSpec, latents: list[Tensor], strength_XF: Tensor) -> tuple[TriedFeature, ...]:
    """Those watched; then the strongest in any text, of two texts also those whose strengths (X texts, F) differ most."""
    rankings = [strength_XF.amax(0)]
    if len(latents) == 2:
        rankings.append((strength_XF[0] - strength_XF[1]).abs())
    listed = min(spec.features_listed, strength_XF.shape[1])
    chosen = torch.cat([ranking.topk(listed).indices[: int((ranking > 0).sum())] for ranking in rankings]).unique()
    strongest = chosen[rankings[-1][chosen].argsort(descending=True, stable=True)].tolist()
    order = dict.fromkeys((*spec.watched, *strongest))
    return tuple(
        TriedFeature(index=index, values=tuple(tuple(f_TF[:, index].tolist()) for f_TF in latents)) for index in order
    )
