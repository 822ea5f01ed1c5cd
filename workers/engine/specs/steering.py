"""Specs of steering: generate with feature directions added to the residual stream, beside the untouched model."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.activations import LM_DTYPES
from workers.engine.specs.base import Inputs, Record, Result, Spec, device_option, option
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.read_as import ReadAs

LARGEST_STRENGTH = 1e6
"""In either unit: beyond it, text is none and float16 overflows."""
LEAST_TEMPERATURE = 0.01
"""Above 0: dividing logits by less overflows, and the likeliest token is taken anyway."""
STRENGTH_UNITS = (("max_activation", "× the feature's max activation"), ("raw", "raw: length of the added vector"))
USUAL_STRENGTH = 0.3
"""What is proposed, × the feature's max activation. Measured on SmolLM2: 3 × adds a vector half as long again as the
activation itself, and the text falls apart."""


@dataclass(frozen=True, kw_only=True)
class SteeredFeature(Record):
    """One feature and how strongly it is added; `strength` is in the Spec's unit and may be negative."""

    index: int
    strength: float


@dataclass(frozen=True, kw_only=True)
class SteerSpec(Spec):
    """Generate text with and without feature directions added at the SAE's hook site, from the same seed."""

    KIND: ClassVar[str] = "steer"
    QUEUE: ClassVar[str] = "steer"
    TITLE: ClassVar[str] = "Steer"
    ENGINE: ClassVar[str] = "steering.generating:steer"

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE whose features are added.")
    features: tuple[SteeredFeature, ...] = option(
        label="Features", help="One to twenty features with their strengths: 12:4, 77:-2."
    )
    prompt: str = option(label="Prompt", multiline=True, help="The text that both versions continue.")
    unit: str = option(
        "max_activation", label="Strength in", choices=STRENGTH_UNITS, help="What a strength of 1 means."
    )
    max_new_tokens: int = option(
        60, label="New tokens", minimum=1, maximum=2048, unit="tokens", help="Length of the continuation."
    )
    temperature: float = option(
        0.7, label="Temperature", minimum=0.0, maximum=2.0, help="0 always takes the likeliest token."
    )
    top_p: float = option(
        0.9,
        label="Top p",
        minimum=0.01,
        maximum=1.0,
        advanced=True,
        help="Sample from the likeliest tokens that together reach this probability.",
    )
    top_k: int = option(
        50, label="Top k", minimum=0, maximum=500, advanced=True, help="Sample from so many likeliest tokens; 0: all."
    )
    repetition_penalty: float = option(
        1.0,
        label="Repetition penalty",
        minimum=0.5,
        maximum=2.0,
        advanced=True,
        help="Above 1 discourages tokens already used.",
    )
    seed: int = option(0, label="Seed", minimum=0, maximum=2**31 - 1, advanced=True, help="The same for both versions.")
    lm_dtype: str = option(
        "auto", label="Model precision", choices=LM_DTYPES, advanced=True, help="Precision of the language model."
    )
    device: str = device_option()

    def check(self) -> None:
        if not 1 <= len(self.features) <= 20:
            raise SpecInvalid(
                "Between 1 and 20 features can be steered at once.", "Choose some features.", field="features"
            )
        if not self.prompt.strip() or len(self.prompt) > 10_000:
            raise SpecInvalid(
                "The prompt must have between 1 and 10,000 characters.", "Write a prompt.", field="prompt"
            )
        if 0 < self.temperature < LEAST_TEMPERATURE:
            raise SpecInvalid(
                f"Temperature: {self.temperature:g} is too near to 0.",
                f"Give 0, which always takes the likeliest token, or at least {LEAST_TEMPERATURE}.",
                field="temperature",
            )
        for feature in self.features:
            # written so that nan, which compares with nothing, is refused too
            if not abs(feature.strength) <= LARGEST_STRENGTH:
                raise SpecInvalid(
                    f"Strength: {feature.strength:g} for feature {feature.index} is beyond ±{LARGEST_STRENGTH:,.0f}.",
                    "Text falls apart long before; some tenths of a feature's max activation are a start.",
                    field="features",
                )
        if all(feature.strength == 0 for feature in self.features):
            raise SpecInvalid(
                "All strengths are 0: nothing would change.", "Give one feature a strength.", field="features"
            )


@dataclass(frozen=True, kw_only=True)
class SteerInputs(Inputs):
    """`prepend_bos`: whether the contexts that the SAE was trained on begin with the first token. `max_activations` are those
    of the steered features, in their order, from the SAE's latest feature run."""

    sae_dir: str = ""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""
    prepend_bos: bool = True
    max_activations: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SteerResult(Result):
    """Both continuations with what was really done to the model."""

    baseline: str
    steered: str
    baseline_tokens: tuple[str, ...]
    steered_tokens: tuple[str, ...]
    """Raw token strings; "" for an id that the tokenizer does not know."""
    raw_strengths: tuple[float, ...]
    """Length of each added vector, in units of the activation."""
    delta_norm: float
    """Mean ‖Δ‖ added per steered position."""
    activation_norm: float
    """Mean norm of the untouched activation at the same positions."""
    hook_calls: int
    steered_positions: int
    differs: bool
    seconds: float
    read_as: ReadAs | None = None
    """None in results from before it was kept."""
    prompt_tokens: tuple[str, ...] = ()
    """Raw token strings of the prompt as the model read it."""
    prompt_ids: tuple[int, ...] = ()
