"""Specs of SAE training."""

from dataclasses import dataclass
from typing import Any, ClassVar

from workers.engine.specs.base import Inputs, Result, Spec, device_option, option
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import SpecInvalid

ARCHITECTURES = (
    ("topk", "TopK: exactly k latents a token, AuxK against dead ones"),
    ("standard", "Standard: ReLU with an L1 penalty"),
)
TRAINING_NORMALIZATIONS = (
    ("expected_average_only_in", "Scale so that the mean norm is √d_in (folded into the weights at the end)"),
    ("none", "None"),
)


@dataclass(frozen=True, kw_only=True)
class TrainSpec(Spec):
    """Train a sparse autoencoder on a cache of activations.

    Loss: sum over d_in, mean over tokens, on normalised activations; coefficients keep SAELens' meaning.
    """

    KIND: ClassVar[str] = "train"
    QUEUE: ClassVar[str] = "gpu"
    TITLE: ClassVar[str] = "Train SAE"
    ENGINE: ClassVar[str] = "training.training:train"
    RESUMES: ClassVar[bool] = True

    name: str = option("", label="Name", help="How the run is called; empty makes one from the settings.")
    activation_cache: int = option(
        label="Activation cache", reference="activations.ActivationCache", help="The activations to learn from."
    )
    architecture: str = option(
        "topk", label="Architecture", choices=ARCHITECTURES, help="The kind of sparse autoencoder."
    )
    d_sae: int = option(
        4608,
        label="Latents (d_sae)",
        minimum=2,
        maximum=1_048_576,
        help="Size of the dictionary; 8 × the activation's width is a usual start.",
    )
    k: int = option(
        32,
        label="k",
        minimum=1,
        maximum=4096,
        only_for=("architecture", ("topk",)),
        help="Latents that fire for each token: L0 is at most k.",
        source="Gao et al. 2024, arXiv:2406.04093",
    )
    aux_k: int | None = option(
        None,
        label="AuxK latents",
        minimum=1,
        only_for=("architecture", ("topk",)),
        advanced=True,
        help="Dead latents that try to explain the error; empty: d_in / 2.",
        source="Gao et al. 2024; SAELens",
    )
    aux_coefficient: float = option(
        1.0,
        label="AuxK coefficient",
        minimum=0.0,
        maximum=10.0,
        only_for=("architecture", ("topk",)),
        advanced=True,
        help="Weight of the AuxK loss; 0 switches it off.",
        source="SAELens aux_loss_coefficient",
    )
    l1_coefficient: float = option(
        1.0,
        label="L1 coefficient",
        minimum=1e-7,
        maximum=1000.0,
        only_for=("architecture", ("standard",)),
        help="Weight of Σ f·‖W_dec‖ against the squared error: larger is sparser.",
        source="SAELens l1_coefficient",
    )
    l1_warmup_steps: int = option(
        100,
        label="L1 warm-up",
        minimum=0,
        unit="steps",
        only_for=("architecture", ("standard",)),
        advanced=True,
        help="The L1 coefficient grows linearly from 0 over so many steps.",
        source="SAELens l1_warm_up_steps",
    )
    steps: int = option(
        2_000,
        label="Steps",
        minimum=1,
        maximum=10_000_000,
        unit="steps",
        help="Optimiser steps; the cache is read again, in another order, as often as needed.",
    )
    batch_size: int = option(
        4096,
        label="Batch size",
        minimum=8,
        maximum=1_048_576,
        unit="tokens",
        help="Tokens in each step.",
        source="SAELens train_batch_size_tokens",
    )
    learning_rate: float = option(
        3e-4, label="Learning rate", minimum=1e-7, maximum=1.0, help="Peak of the Adam step size.", source="SAELens lr"
    )
    lr_warmup_steps: int = option(
        0,
        label="Learning-rate warm-up",
        minimum=0,
        unit="steps",
        advanced=True,
        help="Linear growth from 0 at the start.",
    )
    lr_decay_pct: float = option(
        20.0,
        label="Learning-rate decay",
        minimum=0.0,
        maximum=100.0,
        unit="%",
        advanced=True,
        help="Linear fall to 0 over the last part of training.",
    )
    adam_beta1: float = option(
        0.9, label="Adam β₁", minimum=0.0, maximum=0.999999, advanced=True, help="Decay of the first moment."
    )
    adam_beta2: float = option(
        0.999, label="Adam β₂", minimum=0.0, maximum=0.999999, advanced=True, help="Decay of the second moment."
    )
    clip_grad_norm: float | None = option(
        1.0,
        label="Clip gradient norm",
        minimum=1e-6,
        advanced=True,
        help="Longest gradient; empty does not clip.",
        source="SAELens clips at 1.0",
    )
    normalize_activations: str = option(
        "expected_average_only_in",
        label="Normalise",
        choices=TRAINING_NORMALIZATIONS,
        advanced=True,
        help="How activations are scaled before the SAE sees them.",
        source="SAELens normalize_activations",
    )
    dead_after_tokens: int = option(
        1_000_000,
        label="Dead after",
        minimum=1,
        unit="tokens",
        advanced=True,
        help="A latent that stayed silent for so many tokens counts as dead.",
    )
    checkpoint_every: int = option(
        500, label="Checkpoint every", minimum=1, unit="steps", advanced=True, help="Steps between checkpoints."
    )
    log_every: int = option(
        10,
        label="Log every",
        minimum=1,
        maximum=10_000,
        unit="steps",
        advanced=True,
        help="Steps between points of the charts.",
    )
    seed: int = option(
        0,
        label="Seed",
        minimum=0,
        maximum=2**31 - 1,
        advanced=True,
        help="Decides initial weights and the order of tokens.",
    )
    device: str = device_option()

    def check(self) -> None:
        if self.architecture == "topk" and self.k > self.d_sae:
            raise SpecInvalid(
                f"k = {self.k} exceeds d_sae = {self.d_sae}: no token can use more latents than there are.",
                "Choose a k well below d_sae, 1 % of it or less.",
                field="k",
            )


@dataclass(frozen=True, kw_only=True)
class TrainInputs(Inputs):
    """`cache` is the ActivationCacheResult; `site` the hook site as text; `provenance` what the rows know of the data."""

    cache_dir: str = ""
    hook_site: str = ""
    sink_threshold: float | None = None
    provenance: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainResult(Result):
    """The folder is the SAE: cfg.json, sae_weights.safetensors, sparsity.safetensors (SAELens), encode.json (EncodeSpec),
    provenance.json. Numbers are means over the last `log_every` steps, on training tokens."""

    encode: EncodeSpec
    steps: int
    tokens: int
    """Tokens seen, repeats counted."""
    loss: float
    fvu: float
    l0: float
    dead_share: float
    seconds: float
    tokens_per_s: float
    bytes: int
    finished_early: bool = False
    """Stopped by wish before the last step; the SAE was kept."""
    weights_sha256: str = ""
