"""Generate text twice from one seed: by the untouched model, and with feature directions added to the residual stream.

At the SAE's hook site (a transcoder's: the one that it answers) h becomes h + Σ c_i d̂_i, with d̂_i = W_dec[i] / ‖W_dec[i]‖,
at every position but 0 of the prompt, prompt and generated tokens alike (Neuronpedia's additive steering, which includes
position 0 as well). The raw strength c_i is the given one, or the given multiple of the feature's largest activation a times
‖W_dec[i]‖: the length of what the SAE itself adds at a. Activations are those of the unit gauge wherever an SAE has one
(Sae.with_unit_decoder), and that norm 1.

What was done is measured, not assumed: calls of the hook, mean ‖Δ‖ added, mean ‖h‖. A run that changed nothing fails.

Legend: B = 1 prompt, T tokens of one pass, D width of the activation, I steered features.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from workers.engine.formats.saelens import sae_read
from workers.engine.hooks.capture import replaced
from workers.engine.hooks.sites import hook_point
from workers.engine.language_models.context_fit import longest_context
from workers.engine.language_models.finite_output import finite_output
from workers.engine.language_models.loading import language_model_load, tokenizer_load
from workers.engine.language_models.reading_as import read_as
from workers.engine.language_models.token_ids import prompt_ids
from workers.engine.progress import ENDING_WISHES, Progress, Stopped
from workers.engine.saes.sae import Sae
from workers.engine.specs.errors import EngineError, SpecInvalid
from workers.engine.specs.steering import SteerInputs, SteerResult, SteerSpec
from workers.engine.steering.sampling import generating_by, generation_config


class SteeringHadNoEffect(EngineError):
    """The hook was never called, or what it added has no length: the text must not be shown as steered."""

    code = "steering_had_no_effect"


def steer(spec: SteerSpec, inputs: SteerInputs, progress: Progress) -> SteerResult:
    """Baseline and steered continuation of spec.prompt.

    Raises SpecInvalid for a feature the SAE does not have or a prompt that leaves no room, EngineError "output_not_finite"
    when the added vector drives the model out of its range, SteeringHadNoEffect, Stopped.
    """
    began = time.monotonic()
    progress.phase("loading the model")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    tokenizer = tokenizer_load(inputs.model_dir)
    sae = sae_read(inputs.sae_dir).with_unit_decoder()
    _width_check(sae, model)
    rows_ID = _decoder_rows(sae, spec)
    strengths = raw_strengths(spec, inputs.max_activations, rows_ID.norm(dim=-1).tolist())
    delta_D = (torch.tensor(strengths) @ torch.nn.functional.normalize(rows_ID, dim=-1)).to(model.device)
    ids = prompt_ids(tokenizer, spec.prompt, prepend_bos=inputs.prepend_bos)
    _length_check(model, ids, spec)
    ids_1T = torch.tensor([ids], device=model.device)

    progress.phase("writing without steering", spec.max_new_tokens, "tokens")
    with finite_output(model):
        baseline_ids = _generate(model, tokenizer, ids_1T, spec, progress)
    progress.phase("writing with steering", spec.max_new_tokens, "tokens")
    added = AddedVector(delta_D)
    with replaced(model, sae.encode_spec.site_out, added) as replacement, finite_output(model):
        steered_ids = _generate(model, tokenizer, ids_1T, spec, progress)
    if replacement.calls == 0 or added.positions == 0 or added.delta_norm_sum == 0:
        raise SteeringHadNoEffect(
            "The steering hook changed nothing.", "Give the features a strength, and more than one token of prompt."
        )
    return SteerResult(
        baseline=tokenizer.decode(baseline_ids, skip_special_tokens=True),
        steered=tokenizer.decode(steered_ids, skip_special_tokens=True),
        baseline_tokens=_tokens(tokenizer, baseline_ids),
        steered_tokens=_tokens(tokenizer, steered_ids),
        raw_strengths=strengths,
        delta_norm=added.delta_norm_sum / added.positions,
        activation_norm=added.activation_norm_sum / added.positions,
        hook_calls=replacement.calls,
        steered_positions=added.positions,
        differs=baseline_ids != steered_ids,
        seconds=time.monotonic() - began,
        read_as=read_as(
            model,
            inputs.quantization,
            inputs.model_dir,
            context_length=len(ids) + max(len(baseline_ids), len(steered_ids)),
        ),
        prompt_tokens=_tokens(tokenizer, ids),
        prompt_ids=tuple(ids),
    )


def _tokens(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> tuple[str, ...]:
    """Raw token strings; "" for rows of the embedding beyond the tokenizer's last id, which a model may write too."""
    return tuple(token or "" for token in tokenizer.convert_ids_to_tokens(ids))


def raw_strengths(spec: SteerSpec, max_activations: tuple[float, ...], decoder_norms: list[float]) -> tuple[float, ...]:
    """Lengths of the added vectors, in units of the activation. SpecInvalid for a feature that never fired.

    `max_activations` and `decoder_norms` are those of the steered features, in their order.
    """
    if spec.unit == "raw":
        return tuple(feature.strength for feature in spec.features)
    for feature, largest in zip(spec.features, max_activations, strict=True):
        if largest <= 0:
            raise SpecInvalid(
                f"Feature {feature.index} never fired, so its max activation is no measure.",
                "Choose another feature, or give the strength as raw.",
                field="features",
            )
    return tuple(
        feature.strength * largest * norm
        for feature, largest, norm in zip(spec.features, max_activations, decoder_norms, strict=True)
    )


def _width_check(sae: Sae, model: PreTrainedModel) -> None:
    """Raise EngineError "wrong_width" when the SAE was not made for this place in this model."""
    site, steered_width = sae.encode_spec.site_out, sae.encode_spec.width_out
    width = hook_point(model, site).width
    if width != steered_width:
        raise EngineError(
            f"The SAE's decoder has width {steered_width}; at {site} the language model has width {width}.",
            "Choose the language model that the SAE was trained on.",
            code="wrong_width",
        )


def _decoder_rows(sae: Sae, spec: SteerSpec) -> torch.Tensor:
    """W_dec of the steered features, (I, D) float32. SpecInvalid for an index beyond d_sae."""
    indices = [feature.index for feature in spec.features]
    beyond = [i for i in indices if not 0 <= i < sae.encode_spec.d_sae]
    if beyond:
        raise SpecInvalid(
            f"The SAE has no feature {beyond[0]}.",
            f"Its features go from 0 to {sae.encode_spec.d_sae - 1}.",
            field="features",
        )
    return sae.W_dec[indices]


@dataclass
class AddedVector:
    """The edit of `replaced`: adds delta_D to every position but 0 and keeps count of what it did."""

    delta_D: torch.Tensor
    positions: int = 0
    delta_norm_sum: float = 0.0
    activation_norm_sum: float = 0.0
    _has_seen_the_start: bool = False

    def __call__(self, x_BTD: torch.Tensor) -> torch.Tensor:
        first = 0 if self._has_seen_the_start else 1
        self._has_seen_the_start = True
        before_BTD = x_BTD[:, first:].float()
        after_BTD = (before_BTD + self.delta_D).to(x_BTD.dtype)
        self.positions += before_BTD.shape[0] * before_BTD.shape[1]
        self.delta_norm_sum += (after_BTD.float() - before_BTD).norm(dim=-1).sum().item()
        self.activation_norm_sum += before_BTD.norm(dim=-1).sum().item()
        return torch.cat([x_BTD[:, :first], after_BTD], dim=1)


class _HeedWishes(StoppingCriteria):
    """Tells how many tokens are written, and leaves the generation when somebody asks for it."""

    def __init__(self, progress: Progress, prompt_length: int) -> None:
        self._progress = progress
        self._prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        wish = self._progress.wish()
        if wish in ENDING_WISHES:
            raise Stopped(wish)
        self._progress.reach(input_ids.shape[1] - self._prompt_length)
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def _length_check(model: PreTrainedModel, ids: list[int], spec: SteerSpec) -> None:
    """Raise SpecInvalid for a prompt without tokens, or when it exceeds the model's context with its continuation."""
    if not ids:
        raise SpecInvalid("The prompt has no tokens.", "Write some words.", field="prompt")
    room = longest_context(model.config)
    if room is not None and len(ids) + spec.max_new_tokens > room:
        raise SpecInvalid(
            f"Prompt ({len(ids)} tokens) and continuation ({spec.max_new_tokens}) exceed the model's {room} positions.",
            "Shorten the prompt, or ask for fewer new tokens.",
            field="max_new_tokens",
        )


@torch.inference_mode()
def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt_1T: torch.Tensor,
    spec: SteerSpec,
    progress: Progress,
) -> list[int]:
    """Ids of the continuation alone, from spec.seed."""
    torch.manual_seed(spec.seed)
    config = generation_config(spec, model, tokenizer)
    with generating_by(model, config):
        out_ids = model.generate(
            prompt_1T,
            attention_mask=torch.ones_like(prompt_1T),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([_HeedWishes(progress, prompt_1T.shape[1])]),
        )
    return out_ids[0, prompt_1T.shape[1] :].tolist()
