"""Specs of activation caches: a language model's vectors at one hook site, kept on disk."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.base import Inputs, Result, Spec, device_option, option
from workers.engine.specs.hook_site import SITES, HookSite

SITE_CHOICES = tuple((site, f"{site}: {words}") for site, words in SITES.items())
LM_DTYPES = (
    ("auto", "bfloat16 where the device is fast at it, else float32"),
    ("bfloat16", "bfloat16"),
    ("float32", "float32"),
)
SINK_FACTOR = 5.0
"""A token is a sink when its norm exceeds this multiple of the site's median norm."""


@dataclass(frozen=True, kw_only=True)
class ActivationCacheSpec(Spec):
    """Run contexts through the language model up to one hook site and keep the activations in bfloat16."""

    KIND: ClassVar[str] = "activation_cache"
    QUEUE: ClassVar[str] = "gpu"
    TITLE: ClassVar[str] = "Cache activations"
    ENGINE: ClassVar[str] = "activations.caching:activation_cache"

    tokenization: int = option(label="Tokenization", reference="datasets.Tokenization", help="The contexts to run.")
    language_model: int = option(
        label="Language model",
        reference="language_models.LanguageModel",
        help="Must have the tokenization's tokenizer.",
    )
    layer: int = option(
        label="Layer", minimum=0, help="Block, counted from 0. Middle layers hold the richest features."
    )
    site: str = option("resid_post", label="Hook site", choices=SITE_CHOICES, help="Place within the block.")
    max_tokens: int = option(
        1_000_000,
        label="Most tokens",
        minimum=1_000,
        unit="tokens",
        help="Stop after so many tokens of the training part; fewer when the text is shorter.",
    )
    lm_dtype: str = option(
        "auto",
        label="Model precision",
        choices=LM_DTYPES,
        advanced=True,
        help="bfloat16 is about 3 times as fast on recent processors; activations differ in the third digit.",
    )
    batch_contexts: int = option(
        16, label="Contexts at once", minimum=1, maximum=1024, advanced=True, help="Contexts in each forward pass."
    )
    device: str = device_option()

    @property
    def hook_site(self) -> HookSite:
        return HookSite(layer=self.layer, site=self.site)


@dataclass(frozen=True, kw_only=True)
class ActivationCacheInputs(Inputs):
    tokenization_dir: str = ""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""


@dataclass(frozen=True, kw_only=True)
class ActivationCacheResult(Result):
    """The folder holds shard-*.safetensors with `activations` (tokens, d_in) bfloat16: every included position of the
    training part in stream order; position 0 and sink tokens are left out and counted. statistics.safetensors holds
    `mean` (d_in,) float32, cache.json these numbers."""

    tokens: int
    """Positions kept."""
    tokens_run: int
    """Tokens that went through the model."""
    contexts: int
    first_positions: int
    """Positions 0, left out."""
    sink_tokens: int
    """Tokens left out for their norm."""
    sink_threshold: float
    """SINK_FACTOR × median norm, measured on the first positions of the stream other than 0."""
    median_norm: float
    mean_norm: float
    """Mean Euclidean norm of the kept activations."""
    d_in: int
    lm_dtype: str
    tokens_per_s: float
    bytes: int
    activations_sha256: str
    quantization: str = ""
    """How the language model was held, a key of QUANTIZATIONS; "" in caches from before there was a choice."""
