"""Spec of a measured ablation: what the language model predicts worse, or better, without one feature."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.activations import LM_DTYPES
from workers.engine.specs.base import Inputs, Record, Result, Spec, device_option, option
from workers.engine.specs.read_as import ReadAs


@dataclass(frozen=True, kw_only=True)
class AblateSpec(Spec):
    """Take one feature out of the language model wherever it fires and measure what that costs, token by token."""

    KIND: ClassVar[str] = "ablate"
    QUEUE: ClassVar[str] = "steer"
    TITLE: ClassVar[str] = "Ablate a feature"
    ENGINE: ClassVar[str] = "features.ablating:ablate"

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE whose feature is taken out.")
    index: int = option(label="Feature", minimum=0, maximum=10**9, help="The feature's number in its SAE, from 0.")
    top_contexts: int = option(
        10,
        label="Top contexts",
        minimum=1,
        maximum=200,
        help="Contexts in which the feature fires strongest; a feature run keeps 20 unless told otherwise.",
    )
    random_contexts: int = option(
        32,
        label="Random contexts",
        minimum=0,
        maximum=10_000,
        help="Contexts drawn from the whole tokenization, whether the feature fires in them or not.",
    )
    seed: int = option(
        0, label="Seed", minimum=0, maximum=2**53 - 1, advanced=True, help="Decides which random contexts are drawn."
    )
    lm_dtype: str = option(
        "auto", label="Model precision", choices=LM_DTYPES, advanced=True, help="Precision of the language model."
    )
    device: str = device_option()


@dataclass(frozen=True, kw_only=True)
class AblateInputs(Inputs):
    sae_dir: str = ""
    run_dir: str = ""
    """Files of the feature run whose top examples are read (DescribedSae)."""
    tokenization_dir: str = ""
    """What that run read."""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""


@dataclass(frozen=True, kw_only=True)
class AblationEffect(Record):
    """Δ cross-entropy, ablated − clean, in nats for each predicted token. Above 0: the feature helped to predict."""

    mean: float | None
    """Over predictions; None without any."""
    stderr: float | None
    """Of the mean, contexts counted as independent draws (metrics.clustered_mean); None for fewer than two."""
    predictions: int
    contexts: int


@dataclass(frozen=True, kw_only=True)
class AblatedContext(Record):
    """The part of a top context around the peak. `tokens`, `activations` and `deltas` have an entry for each token."""

    context: int
    """Its number in the tokenization, training part first."""
    tokens: tuple[str, ...]
    """Raw token strings."""
    activations: tuple[float, ...]
    deltas: tuple[float, ...]
    """Δ cross-entropy of predicting this token from those before it; 0 for the first of a context, which none predicts."""
    peak: int
    """Place of the strongest firing in this part."""


@dataclass(frozen=True, kw_only=True)
class AblateResult(Result):
    """`at_peak` is the prediction made at the strongest firing, of the token behind it; `after_peak` are all later ones."""

    top: AblationEffect
    at_peak: AblationEffect
    after_peak: AblationEffect
    random: AblationEffect
    top_firings: int
    """Positions of the top contexts at which something was subtracted."""
    random_firings: int
    random_contexts_firing: int
    """Random contexts in which it fires at all; in all others Δ is exactly 0."""
    top_ce_clean: float
    """Mean cross-entropy of the unchanged model over the predictions of `top`, in nats."""
    shown: tuple[AblatedContext, ...]
    """The strongest of the top contexts."""
    seconds: float
    read_as: ReadAs | None = None
    """None in results from before it was kept."""
