"""Specs of feature runs: statistics and examples for every latent of an SAE, and how they are shown at first."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from workers.engine.specs.activations import LM_DTYPES
from workers.engine.specs.base import Inputs, Record, Result, Spec, device_option, option
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.read_as import ReadAs
from workers.engine.text.token_kinds import TokenKind

HISTOGRAM_BINS = 50
LOG_BINS = 40
LOG_DECADES = 4
"""The logarithmic histogram reaches from maximum / 10^LOG_DECADES to maximum; what is smaller counts in its first bin."""
NAMES = "names.arrow"
MOST_SAES = 16
READABLE = 0.5
"""Score above which a feature is counted as one that can be read."""
DENSE = 0.1
"""Density above which a feature is called dense."""
FEWEST_FIRINGS = 20
"""Below so many a feature is rare: too few to say what it fires on."""
DEFAULT_VIEW = "What the pages show"
"""The options that decide how a run is read; they change nothing in what it measures."""
TOP_GROUP, ZERO_GROUP, NEAR_GROUP = 0, -1, -2
"""Groups of example slots; those of the quantiles are 1, 2, … from strong to weak."""


class Peculiarity(IntEnum):
    """A cause that explains a feature without its meaning."""

    NONE = 0
    DEAD = 1
    """It never fired."""
    RARE = 2
    """Fewer than FEWEST_FIRINGS firings."""
    DENSE = 3
    POSITION = 4
    """It peaks on the first two positions of contexts that features see."""
    LAYOUT = 5
    """It peaks on punctuation, symbols, line breaks and blanks."""
    ONE_TOKEN = 6
    """Nearly all of its firings are at one token."""


@dataclass(frozen=True, kw_only=True)
class DefaultView(Record):
    """What a reader of a run sees before asking for something else. Nothing that is hidden is gone."""

    hidden: tuple[str, ...] = ()
    """Kinds of tokens (TokenKind): examples that peak at one, and top tokens of one, stay out of sight."""
    weakest: float = 0.0
    """Examples that peak below this share of the feature's maximum do too."""
    min_density: float = 0.0
    """Features below it are left out of the list."""


def _filter(what: str, *, default: bool = False) -> bool:
    """An option that hides examples by the token at their peak."""
    return option(
        default,
        label=f"Hide {what}",
        advanced=True,
        section=DEFAULT_VIEW,
        help=f"Examples that peak at {what} are hidden at first; the page says how many and shows them on a click.",
    )


@dataclass(frozen=True, kw_only=True)
class FeatureRunSpec(Spec):
    """One pass over a tokenization that fills statistics, examples, neighbours and logit lists for all latents of an SAE,
    or of several on one language model."""

    KIND: ClassVar[str] = "feature_run"
    QUEUE: ClassVar[str] = "gpu"
    TITLE: ClassVar[str] = "Find features"
    ENGINE: ClassVar[str] = "features.running:feature_run"
    RESUMES: ClassVar[bool] = True
    FINISHES: ClassVar[bool] = True

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE whose latents are described.")
    more_saes: tuple[int, ...] = option(
        (),
        label="More SAEs",
        reference="saes.Sae",
        advanced=True,
        help="Further SAEs of the same language model, described in the same pass over the text.",
    )
    tokenization: int = option(
        label="Tokenization",
        reference="datasets.Tokenization",
        help="The contexts to read; its tokenizer must be the language model's.",
    )
    max_tokens: int = option(
        1_000_000, label="Most tokens", minimum=1_000, maximum=10**12, unit="tokens", help="Stop after so many tokens."
    )
    first_context: int = option(
        0,
        label="First context",
        minimum=0,
        maximum=10**9,
        advanced=True,
        help="Skip so many contexts of the tokenization.",
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
        20,
        label="Zero examples",
        minimum=0,
        maximum=100,
        advanced=True,
        help="Random windows in which the feature is silent.",
    )
    near_misses: int = option(
        5,
        label="Near misses",
        minimum=0,
        maximum=100,
        advanced=True,
        help="Silent windows around a token at which the feature fires elsewhere: what the token alone does not explain.",
    )
    window_before: int = option(
        25, label="Tokens before", minimum=0, maximum=512, advanced=True, help="Tokens shown before the peak."
    )
    window_after: int = option(
        25, label="Tokens after", minimum=0, maximum=512, advanced=True, help="Tokens shown after the peak."
    )
    top_tokens: int = option(
        20,
        label="Top tokens",
        minimum=1,
        maximum=200,
        advanced=True,
        help="Tokens at which a feature fires most often, with count, mean and maximum; the search “fires on” knows these.",
    )
    neighbours: int = option(
        10,
        label="Neighbours",
        minimum=0,
        maximum=100,
        advanced=True,
        help="Features nearest by decoder direction, and those that fire at the same tokens.",
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
    seed: int = option(
        0, label="Seed", minimum=0, maximum=2**53 - 1, advanced=True, help="Decides the random examples."
    )
    device: str = device_option()
    filter_special: bool = _filter("special tokens", default=True)
    filter_punctuation: bool = _filter("punctuation and blanks")
    filter_numbers: bool = _filter("numbers")
    filter_fragments: bool = _filter("parts of words")
    filter_single_letters: bool = _filter("single letters")
    filter_stop_words: bool = _filter("stop words")
    activation_threshold: float = option(
        0.0,
        label="Hide weak examples",
        minimum=0.0,
        maximum=0.99,
        advanced=True,
        section=DEFAULT_VIEW,
        help="Examples whose peak is below this share of the feature's maximum are hidden at first.",
    )
    min_density: float = option(
        0.0,
        label="Hide rare features",
        minimum=0.0,
        maximum=0.1,
        advanced=True,
        section=DEFAULT_VIEW,
        help="Features below this density are left out of the list at first; 0.001 is 0.1 % of tokens.",
    )

    def check(self) -> None:
        if len(set(self.saes)) < len(self.saes):
            raise SpecInvalid("An SAE stands there twice.", "Name each once.", field="more_saes")
        if len(self.saes) > MOST_SAES:
            raise SpecInvalid(
                f"{len(self.saes)} SAEs are too many for one pass.", f"At most {MOST_SAES}.", field="more_saes"
            )

    @property
    def view(self) -> "DefaultView":
        """What the pages show at first."""
        wishes = {
            TokenKind.SPECIAL: self.filter_special,
            TokenKind.PUNCTUATION: self.filter_punctuation,
            TokenKind.NUMBER: self.filter_numbers,
            TokenKind.FRAGMENT: self.filter_fragments,
            TokenKind.SINGLE_LETTER: self.filter_single_letters,
            TokenKind.STOP_WORD: self.filter_stop_words,
        }
        hidden = tuple(kind.value for kind, is_hidden in wishes.items() if is_hidden)
        return DefaultView(hidden=hidden, weakest=self.activation_threshold, min_density=self.min_density)

    @property
    def saes(self) -> tuple[int, ...]:
        """All SAEs that are described, in order."""
        return (self.sae, *self.more_saes)


@dataclass(frozen=True, kw_only=True)
class FeatureRunInputs(Inputs):
    sae_dirs: tuple[str, ...] = ()
    """One for each of `FeatureRunSpec.saes`."""
    tokenization_dir: str = ""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""


@dataclass(frozen=True, kw_only=True)
class DescribedSae(Record):
    """What a run found of one SAE. The folder holds, F = d_sae, W = window_before + 1 + window_after:

    statistics.safetensors: density, mean (of firings), maximum, second_moment (of all positions) (F,) float32;
      consistency, concentration, agreement, score (F,) float32 (features/scoring.py); count (F,) int64 of firings;
      interest (F,) float32, peculiarity (F,) int8 (features/naming.py);
      histogram (F, HISTOGRAM_BINS) int32 of positive activations, linear between 0 and `maximum`;
      log_histogram (F, LOG_BINS) int32 of the same, logarithmic over LOG_DECADES decades up to `maximum`.
    examples.safetensors: per slot S = top + groups × per group + zero examples + near misses:
      token_ids (F, S, W) int32, -1 beyond the context's edge; activations (F, S, W) float16 or float32;
      peak (F, S) int16, index in the window; peak_value (F, S) float32; context (F, S) int32, -1 for an empty slot;
      group (S,) int8: TOP_GROUP, 1… quantile groups from strong to weak, ZERO_GROUP, NEAR_GROUP.
    tokens.safetensors: ids (F, top_tokens) int32, -1 for none, most frequent first; counts int32, means and maxima float32.
    neighbours.safetensors, n = neighbours: similar_ids (F, n) int32 with similar_cosines float32, of decoder rows;
      coactive_ids (F, n) int32 with coactive_cosines, coactive_shares float32 (neighbours.py); ids are -1 for none.
    logits.safetensors: promoted_ids, suppressed_ids (F, logit_tokens) int32 and promoted_values, suppressed_values float32;
      histogram (F, HISTOGRAM_BINS) int32 of all logits between lowest and highest (F,) float32.
    names.arrow: peak_words, a list of (word, share), and gloss of each latent, in order (features/naming.py).
    vocabulary.parquet: token_id, token: copied from the language model.
    """

    folder: str
    """Below out_dir: "sae-00" for the first."""
    tokens: int
    """Included positions behind every statistic."""
    d_sae: int
    alive: int
    """Latents that fired at least once."""
    bytes: int
    readable: int | None = None
    """Latents with a score above READABLE; this and what follows are None in runs of before they were counted."""
    mean_density: float | None = None
    mean_score: float | None = None
    """Means over the latents that fired; None without any."""
    read_as: ReadAs | None = None
    """None in results from before it was kept."""


@dataclass(frozen=True, kw_only=True)
class FeatureRunResult(Result):
    """A DescribedSae for each of `FeatureRunSpec.saes`, in their order."""

    saes: tuple[DescribedSae, ...]
    contexts: int
    tokens_read: int
    """Tokens that went through the language model."""
    tokens_per_s: float
    """Of this try: reading contexts, SAEs included."""
    batch_contexts: int
    """Contexts at once at the end: fewer than asked for when memory ran out."""
