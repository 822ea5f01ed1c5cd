"""Spec of trying a text: which features of an SAE fire on it, token by token; a second text beside it shows what changes."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.activations import LM_DTYPES
from workers.engine.specs.base import Inputs, Record, Result, Spec, device_option, option
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.read_as import ReadAs

MOST_CHARACTERS = 8_000
MOST_WATCHED = 50
RANKINGS = (
    ("max", "strongest activation"),
    ("mean", "mean over the text"),
    ("rare", "strongest activation times rarity"),
)
"""The last weighs by the logarithm of 1 / density, as a search engine weighs a rare word."""


@dataclass(frozen=True, kw_only=True)
class TryTextSpec(Spec):
    """Read a text with the language model and an SAE: the strongest features of each token, and of the whole."""

    KIND: ClassVar[str] = "try_text"
    QUEUE: ClassVar[str] = "steer"
    TITLE: ClassVar[str] = "Try text"
    PASSING: ClassVar[bool] = True
    ENGINE: ClassVar[str] = "features.trying:try_text"

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE whose features are shown.")
    text: str = option(label="Text", multiline=True, help="What the language model reads.")
    other: str = option(
        "",
        label="Second text",
        multiline=True,
        help="Another one to compare, such as the same sentence with one word changed.",
    )
    features_listed: int = option(
        20, label="Features", minimum=1, maximum=500, advanced=True, help="Features shown, the strongest first."
    )
    rank_by: str = option(
        "max",
        label="Rank by",
        choices=RANKINGS,
        advanced=True,
        help="What makes a feature strong here. Rarity is the density of the SAE's newest feature run.",
    )
    watched: tuple[int, ...] = option(
        (),
        label="Always shown",
        minimum=0,
        maximum=10**9,
        advanced=True,
        help="Numbers of features that come first, whether they fire or not.",
    )
    per_token: int = option(
        5, label="Features per token", minimum=1, maximum=50, advanced=True, help="Strongest features of each token."
    )
    lm_dtype: str = option(
        "auto", label="Model precision", choices=LM_DTYPES, advanced=True, help="Precision of the language model."
    )
    device: str = device_option()

    def check(self) -> None:
        if len(self.watched) > MOST_WATCHED:
            raise SpecInvalid(
                f"{len(self.watched):,} features are too many to watch.", f"At most {MOST_WATCHED}.", field="watched"
            )
        for name in ("text", "other"):
            value = getattr(self, name)
            if name == "text" and not value.strip():
                raise SpecInvalid("There is no text to read.", "Write or paste one.", field=name)
            if len(value) > MOST_CHARACTERS:
                raise SpecInvalid(
                    f"The text has {len(value):,} characters.", f"At most {MOST_CHARACTERS:,} are read.", field=name
                )

    @property
    def texts(self) -> tuple[str, ...]:
        """One text, or two to compare."""
        return (self.text, self.other) if self.other.strip() else (self.text,)


@dataclass(frozen=True, kw_only=True)
class TryTextInputs(Inputs):
    sae_dir: str = ""
    prepend_bos: bool = True
    """Whether the contexts that the SAE was trained on begin with the first token."""
    run_dir: str = ""
    """Files of the SAE's newest feature run; empty without one."""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""


@dataclass(frozen=True, kw_only=True)
class TokenFeatures(Record):
    """The features that fire on one token, strongest first."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TriedText(Record):
    """One text as it was read. `tokens`, `is_included` and `strongest` have an entry for each token."""

    tokens: tuple[str, ...]
    """Raw token strings; the first is the model's first token where the SAE's contexts begin with it."""
    is_included: tuple[bool, ...]
    """False for position 0 and for sink tokens: no feature is read there."""
    strongest: tuple[TokenFeatures, ...]
    firing: int
    """Features that fire somewhere in it."""
    token_ids: tuple[int, ...] = ()
    """What the model read."""


@dataclass(frozen=True, kw_only=True)
class TriedFeature(Record):
    """One feature over the texts: its activation at each token of each text, 0 where it is silent or not read."""

    index: int
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class TryTextResult(Result):
    """`features` are those watched, then the strongest of either text and, with two texts, those that change most."""

    texts: tuple[TriedText, ...]
    features: tuple[TriedFeature, ...]
    seconds: float
    read_as: ReadAs | None = None
    """None in results from before it was kept."""
