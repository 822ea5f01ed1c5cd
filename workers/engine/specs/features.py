"""Specs of feature runs: statistics and examples for every latent of an SAE."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.activations import LM_DTYPES
from workers.engine.specs.base import Inputs, Result, Spec, device_option, option

HISTOGRAM_BINS = 50


@dataclass(frozen=True, kw_only=True)
class FeatureRunSpec(Spec):
    """One pass over a tokenization that fills statistics, examples and logit lists for all latents of an SAE."""

    KIND: ClassVar[str] = "feature_run"
    QUEUE: ClassVar[str] = "gpu"
    TITLE: ClassVar[str] = "Find features"
    ENGINE: ClassVar[str] = "features.running:feature_run"

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE whose latents are described.")
    tokenization: int = option(
        label="Tokenization",
        reference="datasets.Tokenization",
        help="The contexts to read; its tokenizer must be the language model's.",
    )
    max_tokens: int = option(
        1_000_000, label="Most tokens", minimum=1_000, unit="tokens", help="Stop after so many tokens."
    )
    top_examples: int = option(
        20,
        label="Top examples",
        minimum=1,
        maximum=200,
        help="Strongest contexts kept for each feature.",
        source="SAEDashboard",
    )
    quantile_groups: int = option(
        5,
        label="Quantile groups",
        minimum=0,
        maximum=20,
        advanced=True,
        help="Equal-width intervals of the activation range, each with its own examples.",
        source="SAEDashboard",
    )
    quantile_examples: int = option(
        5,
        label="Examples per group",
        minimum=1,
        maximum=50,
        advanced=True,
        help="Examples kept in each quantile group.",
        source="SAEDashboard",
    )
    zero_examples: int = option(
        10,
        label="Zero examples",
        minimum=0,
        maximum=100,
        advanced=True,
        help="Random windows in which the feature is silent.",
    )
    window_before: int = option(
        24, label="Tokens before", minimum=0, maximum=512, advanced=True, help="Tokens shown before the peak."
    )
    window_after: int = option(
        16, label="Tokens after", minimum=0, maximum=512, advanced=True, help="Tokens shown after the peak."
    )
    logit_tokens: int = option(
        10,
        label="Logit list length",
        minimum=1,
        maximum=100,
        advanced=True,
        help="Promoted and suppressed tokens listed.",
        source="SAEDashboard",
    )
    lm_dtype: str = option(
        "auto", label="Model precision", choices=LM_DTYPES, advanced=True, help="Precision of the language model."
    )
    batch_contexts: int = option(
        16, label="Contexts at once", minimum=1, maximum=1024, advanced=True, help="Contexts in each forward pass."
    )
    seed: int = option(0, label="Seed", minimum=0, advanced=True, help="Decides the random examples.")
    device: str = device_option()


@dataclass(frozen=True, kw_only=True)
class FeatureRunInputs(Inputs):
    sae_dir: str = ""
    tokenization_dir: str = ""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""


@dataclass(frozen=True, kw_only=True)
class FeatureRunResult(Result):
    """The folder holds, F = d_sae, W = window_before + 1 + window_after:

    statistics.safetensors: density, mean (of firings), maximum, second_moment (of all positions) (F,) float32;
      count (F,) int64 of firings;
      histogram (F, HISTOGRAM_BINS) int32 of positive activations, linear between 0 and `maximum`.
    examples.safetensors: per slot S = top + groups × per group + zero examples:
      token_ids (F, S, W) int32, -1 beyond the context's edge; activations (F, S, W) float16 or float32;
      peak (F, S) int16, index in the window; peak_value (F, S) float32; context (F, S) int32, -1 for an empty slot;
      group (S,) int8: 0 top, 1… quantile groups from strong to weak, -1 zero examples.
    logits.safetensors: promoted_ids, suppressed_ids (F, logit_tokens) int32 and promoted_values, suppressed_values float32.
    vocabulary.parquet: token_id, token: copied from the language model.
    """

    tokens: int
    """Included positions behind every statistic."""
    contexts: int
    d_sae: int
    alive: int
    """Latents that fired at least once."""
    tokens_per_s: float
    bytes: int
