"""Specs of SAE evaluation."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.activations import LM_DTYPES
from workers.engine.specs.base import Inputs, Result, Spec, device_option, option
from workers.engine.specs.read_as import ReadAs


@dataclass(frozen=True, kw_only=True)
class EvaluateSpec(Spec):
    """Measure an SAE on held-out documents: reconstruction, sparsity and what splicing it in costs the language model."""

    KIND: ClassVar[str] = "evaluate"
    QUEUE: ClassVar[str] = "gpu"
    TITLE: ClassVar[str] = "Evaluate SAE"
    ENGINE: ClassVar[str] = "saes.evaluating:evaluate"

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE to measure.")
    tokenization: int = option(
        label="Tokenization", reference="datasets.Tokenization", help="Its held-out part is used."
    )
    max_tokens: int = option(
        20_000,
        label="Most tokens",
        minimum=100,
        maximum=10**12,
        unit="tokens",
        help="Held-out tokens for FVU, L0 and densities.",
    )
    ce_tokens: int = option(
        4_096,
        label="Tokens for CE",
        minimum=100,
        maximum=10**12,
        unit="tokens",
        help="Held-out tokens for the cross-entropies and KL; each runs three times through the blocks behind the SAE.",
    )
    lm_dtype: str = option(
        "auto", label="Model precision", choices=LM_DTYPES, advanced=True, help="Precision of the language model."
    )
    batch_contexts: int = option(
        8, label="Contexts at once", minimum=1, maximum=1024, advanced=True, help="Contexts in each forward pass."
    )
    device: str = device_option()


@dataclass(frozen=True, kw_only=True)
class EvaluateInputs(Inputs):
    sae_dir: str = ""
    tokenization_dir: str = ""
    model_dir: str = ""
    quantization: str = "auto"
    """How the language model is held: a key of QUANTIZATIONS, "auto" as published."""
    trained_context_length: int | None = None
    """Of the contexts that the SAE was trained on, where it is known."""


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(Result):
    """The folder holds density.safetensors with `density` (d_sae,) float32. Formulas: engine/metrics.py."""

    tokens: int
    """Included positions behind FVU, L0 and densities."""
    sink_tokens: int
    fvu: float
    """Per-dimension means; position 0 and sink tokens excluded."""
    fvu_with_sinks: float
    """The same over every position but 0."""
    l0: float
    dead_share: float
    """Share of latents that fired nowhere in `tokens`."""
    ce_tokens: int
    ce_clean: float
    ce_sae: float
    ce_zero: float
    ce_recovered: float | None
    """None, as kl_recovered, where zeros in place of the activations cost nothing."""
    density_histogram: tuple[int, ...]
    """Counts of latents by log10 density, edges -7, -6.75, …, 0; dead ones are not in it."""
    kl_sae: float | None = None
    """KL(clean ‖ SAE), mean over the same predictions as the cross-entropies, in nats; None in older evaluations."""
    kl_zero: float | None = None
    kl_recovered: float | None = None
    special_tokens: int = 0
    """Left out because the SAE passes special tokens by."""
    fvu_as_trained: float | None = None
    """FVU of the positions that a context of the training has, where the contexts here are longer; else None."""
    read_as: ReadAs | None = None
    """None in results from before it was kept."""
