"""Presets that come with the studio: published training recipes, each with its source and what to mind about scale.

`shipped_update` writes them into the database after every migration; they cannot be changed there, only cloned. A recipe
decides what its source states; sizes that depend on the model, the data and the budget stay open.
"""

from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig
from django.core.exceptions import FieldDoesNotExist
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from apps.presets.models import Preset
from workers.engine.specs.training import TrainSpec


@dataclass(frozen=True)
class Shipped:
    """One training recipe."""

    name: str
    source: str
    description: str
    options: dict[str, Any]


SHIPPED = (
    Shipped(
        "TopK (Gao et al. 2024)",
        "Gao et al. 2024, arXiv:2406.04093; github.com/openai/sparse_autoencoder",
        "OpenAI's TopK with AuxK, as trained on GPT-2 small: 32,768 latents, 131,072 tokens in a batch, billions of tokens. "
        "The learning rate belongs to that size; the paper lets it fall with 1/√d_sae. With batches of a few thousand "
        "tokens 3e-4 is a usual start, and 10 million silent tokens may be longer than the whole run: lower “Dead after”.",
        {
            "architecture": "topk",
            "k": 32,
            "aux_k": 256,
            "aux_coefficient": 1 / 32,
            "normalize_decoder": True,
            "learning_rate": 1e-4,
            "lr_decay": "constant",
            "adam_eps": 6.25e-10,
            "normalize_activations": "layer_norm",
            "dead_after_tokens": 10_000_000,
            "dead_latents": "auto",
        },
    ),
    Shipped(
        "BatchTopK (Bussmann et al. 2024)",
        "Bussmann, Leask, Nanda 2024, arXiv:2412.06410; github.com/bartbussmann/BatchTopK",
        "As trained on GPT-2 small, layer 8, with 12,288 latents on about a billion tokens. A latent counts as dead after "
        "five batches, so AuxK works from the start; with rare features that is early. Gradients are not clipped.",
        {
            "architecture": "batchtopk",
            "k": 32,
            "aux_k": 512,
            "aux_coefficient": 1 / 32,
            "normalize_decoder": True,
            "batch_size": 4096,
            "learning_rate": 3e-4,
            "lr_decay": "constant",
            "adam_beta1": 0.9,
            "adam_beta2": 0.99,
            "clip_grad_norm": None,
            "normalize_activations": "layer_norm",
            "dead_after_tokens": 5 * 4096,
            "dead_latents": "auto",
        },
    ),
    Shipped(
        "JumpReLU (Gemma Scope)",
        "Rajamanoharan et al. 2024, arXiv:2407.14435; Lieberum et al. 2024, arXiv:2408.05147",
        "Gemma Scope's recipe. There activations have mean squared norm 1, here norm √d_in: bandwidth and threshold 0.001 "
        "become 0.001 × √d_in (0.05 at 2,304; 0.024 at 576), and the coefficient λ becomes λ × d_in (4e-4 is about 1 at "
        "2,304). Warm-ups of 1,000 and 10,000 steps suit runs of 100,000 steps and more: shorten them with the run. The "
        "source warms the learning rate up by a cosine, here it is linear.",
        {
            "architecture": "jumprelu",
            "l0_coefficient": 1.0,
            "l0_loss": "step",
            "sparsity_warmup_steps": 10_000,
            "bandwidth": 0.05,
            "initial_threshold": 0.05,
            "normalize_decoder": True,
            "batch_size": 4096,
            "learning_rate": 7e-5,
            "lr_warmup_steps": 1_000,
            "lr_decay": "constant",
            "adam_beta1": 0.0,
            "adam_beta2": 0.999,
            "adam_eps": 1e-8,
            "normalize_activations": "expected_average_only_in",
            "dead_latents": "none",
        },
    ),
    Shipped(
        "Matryoshka BatchTopK (Bussmann et al. 2025)",
        "Bussmann et al. 2025, arXiv:2503.17547; github.com/bartbussmann/matryoshka_sae",
        "Nested dictionaries of d_sae / 16, / 8, / 4, / 2 and d_sae, each reconstructing by itself. The source trained 36,864 "
        "latents on Gemma 2 2B for 500 million tokens without normalising activations; how they are scaled stays open here, "
        "since the learning rate means something else without it. k counts latents over all levels together.",
        {
            "architecture": "matryoshka",
            "k": 32,
            "matryoshka_widths": [],
            "aux_k": 512,
            "aux_coefficient": 1 / 32,
            "normalize_decoder": True,
            "batch_size": 4096,
            "learning_rate": 3e-4,
            "lr_decay": "constant",
            "adam_beta1": 0.9,
            "adam_beta2": 0.99,
            "dead_latents": "auto",
        },
    ),
    Shipped(
        "Standard (Anthropic, April 2024)",
        "Conerly et al., Circuits Updates April 2024: Update on how we train SAEs",
        "L1 weighted by the decoder's norms, activations scaled to mean norm √d_in, no resampling. The coefficient rises over "
        "the first 5 % and the learning rate falls over the last 20 % of the run: 10,000 steps are 5 % of the usual 200,000, "
        "so shorten the warm-up with the run.",
        {
            "architecture": "standard",
            "l1_coefficient": 5.0,
            "sparsity_warmup_steps": 10_000,
            "normalize_decoder": False,
            "learning_rate": 5e-5,
            "lr_warmup_steps": 0,
            "lr_decay": "linear",
            "lr_decay_pct": 20.0,
            "adam_beta1": 0.9,
            "adam_beta2": 0.999,
            "clip_grad_norm": 1.0,
            "normalize_activations": "expected_average_only_in",
            "dead_latents": "none",
        },
    ),
    Shipped(
        "SAELens defaults",
        "SAELens 6.54, LanguageModelSAERunnerConfig with StandardTrainingSAEConfig",
        "What SAELens trains when nothing is set: an L1 SAE on unscaled activations. Its coefficient 1 belongs to "
        "activations of moderate norm; where norms reach hundreds it hardly makes anything sparse.",
        {
            "architecture": "standard",
            "l1_coefficient": 1.0,
            "sparsity_warmup_steps": 0,
            "normalize_decoder": False,
            "batch_size": 4096,
            "learning_rate": 3e-4,
            "lr_warmup_steps": 0,
            "lr_decay": "constant",
            "adam_beta1": 0.9,
            "adam_beta2": 0.999,
            "clip_grad_norm": 1.0,
            "normalize_activations": "none",
            "dead_after_tokens": 1_000 * 4096,
            "dead_latents": "none",
        },
    ),
)


@receiver(post_migrate)
def shipped_after_migration(sender: AppConfig, *, apps: Any = None, **known: Any) -> None:
    """Write the shipped presets, unless the database went to a state in which they have no columns yet."""
    if sender.label != "presets":
        return
    try:
        if apps is not None:
            apps.get_model("presets", "Preset")._meta.get_field("is_shipped")
    except (LookupError, FieldDoesNotExist):
        return
    shipped_update()


def shipped_update() -> None:
    """Bring the shipped rows to what stands here. Favourites and use counts stay; a name that the researcher took stays
    theirs, and the shipped one gets "(shipped)" behind it; rows of recipes that are gone go."""
    kept = [_write(shipped).pk for shipped in SHIPPED]
    Preset.objects.filter(is_shipped=True).exclude(pk__in=kept).delete()


def _write(shipped: Shipped) -> Preset:
    is_taken = Preset.objects.filter(kind=Preset.Kind.TRAINING, name=shipped.name, is_shipped=False).exists()
    name = f"{shipped.name} (shipped)" if is_taken else shipped.name
    found, _ = Preset.objects.update_or_create(
        kind=Preset.Kind.TRAINING,
        name=name,
        is_shipped=True,
        defaults={
            "source": shipped.source,
            "description": shipped.description,
            "spec": shipped.options,
            "schema": TrainSpec.SCHEMA,
        },
    )
    return found
