"""The form of a new run: the options of TrainSpec in sections, each with its rarer ones folded."""

from dataclasses import dataclass
from functools import cache

from django import forms

from apps.core.spec_forms import SpecForm, spec_form
from workers.engine.specs.training import TrainSpec

SECTIONS = {
    "Activations": (
        *("name", "source", "activation_cache", "language_model", "tokenization", "hook_sites", "more_tokenizations"),
        *(
            "mixing",
            "mixing_weights",
            "use_cache",
            "buffer_tokens",
            "leave_out_special",
            "lm_dtype",
            "batch_contexts",
            "normalize_activations",
        ),
    ),
    "Architecture": (
        *("architecture", "d_sae", "k", "l1_coefficient", "l0_coefficient", "l0_loss", "target_l0"),
        *("sparsity_warmup_steps", "bandwidth", "initial_threshold", "tanh_scale", "pre_act_coefficient"),
        *("matryoshka_widths", "skip_rank", "aux_k", "aux_coefficient"),
        *("decoder", "b_dec_start", "normalize_decoder"),
        *("dead_after_tokens", "dead_latents", "resample_every"),
    ),
    "Sweep": ("sweep_d_sae", "sweep_k", "sweep_coefficient", "sweep_seeds"),
    "Optimisation": (
        *("steps", "batch_size", "learning_rate", "lr_warmup_steps", "lr_decay", "lr_decay_pct", "micro_batch_size"),
        *("adam_beta1", "adam_beta2", "adam_eps", "weight_decay", "clip_grad_norm", "weight_average_decay"),
    ),
    "Run": ("checkpoint_every", "keep_checkpoints", "ce_contexts", "log_every", "seed", "device"),
}
"""Every option of TrainSpec, once."""
SWEEP_HELP = "Several values train several SAEs at once on the same activations: each costs its own steps only."


@dataclass(frozen=True)
class Section:
    """One part of the form: fields that everybody sees, and folded ones."""

    title: str
    basic: list[forms.BoundField]
    advanced: list[forms.BoundField]
    help: str = ""

    @property
    def folded(self) -> str:
        """What its folded part is called."""
        return "Values to sweep" if self.title == "Sweep" else "More options"

    @property
    def has_errors(self) -> bool:
        """Whether a folded field was refused: then the part is open."""
        return any(field.errors for field in self.advanced)


class SectionsForm(SpecForm):
    """TrainSpec's form with its sections."""

    @property
    def sections(self) -> list[Section]:
        advanced = {name for name, option in TrainSpec.options().items() if option.advanced}
        return [
            Section(
                title,
                [self[name] for name in names if name not in advanced],
                [self[name] for name in names if name in advanced],
                SWEEP_HELP if title == "Sweep" else "",
            )
            for title, names in SECTIONS.items()
        ]


@cache
def train_form() -> type[SectionsForm]:
    """The form class."""
    return type("TrainForm", (SectionsForm, spec_form(TrainSpec)), {"__doc__": TrainSpec.__doc__})
