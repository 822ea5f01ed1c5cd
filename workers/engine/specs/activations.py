"""Specs of activation caches: a language model's vectors at one hook site, kept on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.base import Inputs, Result, Spec, device_option, option
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.hook_site import SITES, HookSite

SITE_CHOICES = tuple((site, f"{site}: {words}") for site, words in SITES.items())
LM_DTYPES = (
    ("auto", "bfloat16 where the device is fast at it, else float32"),
    ("bfloat16", "bfloat16"),
    ("float32", "float32"),
)
MIXINGS = (
    ("sequential", "Sequential: one text after the other"),
    ("interleaved", "Interleaved: in proportion to their sizes"),
    ("weighted", "Weighted: in the proportion of the weights"),
)
HELD_OUT_TOKENS = 32_768
"""Held-out activations that a cache keeps at most, to calibrate thresholds and measure on."""
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
    more_tokenizations: tuple[int, ...] = option(
        (),
        label="More tokenizations",
        reference="datasets.Tokenization",
        advanced=True,
        help="Further texts to run, of the same tokenizer and context length.",
    )
    mixing: str = option(
        "interleaved",
        label="Mixing",
        choices=MIXINGS,
        advanced=True,
        help="How several tokenizations follow each other; nothing with one.",
    )
    mixing_weights: tuple[float, ...] = option(
        (),
        label="Mixing weights",
        minimum=0.0,
        maximum=1e6,
        only_for=("mixing", ("weighted",)),
        advanced=True,
        help="One for each tokenization, in their order: 3, 1 draws three contexts of the first for one of the second.",
    )
    language_model: int = option(
        label="Language model",
        reference="language_models.LanguageModel",
        help="Must have the tokenization's tokenizer.",
    )
    layer: int = option(
        label="Layer", minimum=0, maximum=10_000, help="Block, counted from 0. Middle layers hold the richest features."
    )
    site: str = option("resid_post", label="Hook site", choices=SITE_CHOICES, help="Place within the block.")
    is_paired: bool = option(
        False,
        label="Keep the MLP's output too",
        only_for=("site", ("mlp_in",)),
        help="For transcoders: mlp_out of the same tokens beside mlp_in. Doubles the size.",
    )
    max_tokens: int = option(
        1_000_000,
        label="Most tokens",
        minimum=1_000,
        maximum=10**12,
        unit="tokens",
        help="So many tokens at most, in contexts drawn from the whole training part.",
    )
    lm_dtype: str = option(
        "auto",
        label="Model precision",
        choices=LM_DTYPES,
        advanced=True,
        help="bfloat16 is about 3 times as fast on recent processors; activations differ in the third digit.",
    )
    leave_out_special: bool = option(
        False,
        label="Leave out special tokens",
        advanced=True,
        help="Separators between documents and other special tokens are read by the model and passed by everywhere else: they "
        "enter neither training nor measurements, now or later. Where documents are short they are a good part of all tokens.",
    )
    batch_contexts: int = option(
        16, label="Contexts at once", minimum=1, maximum=1024, advanced=True, help="Contexts in each forward pass."
    )
    device: str = device_option()

    def check(self) -> None:
        mixing_check(self.mixing, self.mixing_weights, 1 + len(self.more_tokenizations))

    @property
    def hook_site(self) -> HookSite:
        return HookSite(layer=self.layer, site=self.site)

    @property
    def hook_site_out(self) -> HookSite | None:
        """mlp_out of the same layer when the cache is paired."""
        return HookSite(layer=self.layer, site="mlp_out") if self.is_paired else None


def mixing_check(mixing: str, weights: Sequence[float], texts: int) -> None:
    """Raise SpecInvalid unless weighted mixing of `texts` tokenizations has a weight above 0 for each."""
    if mixing == "weighted" and (len(weights) != texts or not all(weight > 0 for weight in weights)):
        raise SpecInvalid(
            f"Weighted mixing of {texts} tokenizations has the weights {', '.join(f'{w:g}' for w in weights) or 'none'}.",
            "Give one weight above 0 for each tokenization, in their order.",
            field="mixing_weights",
        )


@dataclass(frozen=True, kw_only=True)
class ActivationCacheInputs(Inputs):
    tokenization_dirs: tuple[str, ...] = ()
    """In the order of tokenization, more_tokenizations."""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""


@dataclass(frozen=True, kw_only=True)
class ActivationCacheResult(Result):
    """The folder holds shard-*.safetensors with `activations` (tokens, d_in) bfloat16: every included position of the
    contexts run, in stream order; position 0 and sink tokens are left out and counted. statistics.safetensors holds
    `mean` (d_in,) float32, cache.json these numbers. held-out.safetensors holds `activations` of held-out
    contexts, at most HELD_OUT_TOKENS rows, chosen alike. A paired cache has, row by row, `targets` (tokens, d_out)
    beside every `activations`, in the same files, and `target_mean` in statistics.safetensors."""

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
    """SINK_FACTOR × median norm of a sample of contexts drawn over the whole text."""
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
    d_out: int | None = None
    """Width of the targets of a paired cache."""
    target_mean_norm: float | None = None
    sink_sample_contexts: int | None = None
    """Contexts of that sample; None in caches from when the first contexts of the text were the sample."""
    special_tokens: int = 0
    """Tokens left out because they are special, first positions not counted."""
    excluded_tokens: tuple[int, ...] = ()
    """Their ids; empty where they are kept."""
    held_out_tokens: int = 0
    """Rows of held-out.safetensors; 0 in older caches."""
