"""The seed's names of training options in today's ones: `hidden_dim`, `latent_dim`, `l1_alpha`, `num_steps`, …

JSON bodies and imported templates may use them; nothing is stored or shown by them. Meanings that differ: `top_k_sparsity`
is a percentage of the latents, `dead_neuron_threshold` counts silent tokens, `resample_steps` are the steps between
resamplings, and an `l1_alpha` without an architecture means the standard one. None of them needs a database; what only
rows can tell (`hidden_dim` is the width of the activations) is checked in apps/training/seed_names.py.
"""

from collections.abc import Mapping
from typing import Any

from apps.core.errors import AppError
from workers.engine.specs.training import ARCHITECTURES as OWN_ARCHITECTURES
from workers.engine.specs.training import TOPK_FAMILY, TRAINING_NORMALIZATIONS, TRANSCODERS, TrainSpec

RENAMED = {
    "latent_dim": "d_sae",
    "l1_alpha": "l1_coefficient",
    "sparsity_coeff": "l0_coefficient",
    "top_k": "k",
    "aux_loss_alpha": "aux_coefficient",
    "num_steps": "steps",
    "total_steps": "steps",
    "warmup_steps": "lr_warmup_steps",
    "grad_clip_norm": "clip_grad_norm",
    "adam_epsilon": "adam_eps",
    "checkpoint_interval": "checkpoint_every",
    "log_interval": "log_every",
    "dead_neuron_threshold": "dead_after_tokens",
}
ARCHITECTURES = {
    "standard_saelens": "standard",
    "standard_anthropic": "standard",
    **{name: name for name, _ in OWN_ARCHITECTURES},
}
NORMALIZATIONS = {
    "anthropic_rescale": "expected_average_only_in",
    **{name: name for name, _ in TRAINING_NORMALIZATIONS},
}
SITES = {"residual": "resid_post", "mlp": "mlp_out", "attention": "attn_out"}
TURNED = (
    "hidden_dim",
    "architecture_type",
    "top_k_sparsity",
    "resample_steps",
    "resample_interval",
    "training_layers",
    "hook_types",
)
"""Names whose values change too."""


def seed_names_translate(body: Mapping[str, Any]) -> tuple[dict[str, Any], int | None]:
    """The body in today's names, and its `hidden_dim`. AppError "spec_invalid" when two names contradict each other.

    A seed's name with null counts as left out. The given body stays as it is.
    """
    seeds = {name: value for name, value in body.items() if name in RENAMED or name in TURNED}
    options = {name: value for name, value in body.items() if name not in seeds}
    seeds = {name: value for name, value in seeds.items() if value is not None}
    for name, value in seeds.items():
        if name in RENAMED:
            _put(options, RENAMED[name], value, name)
    if str(options.get("normalize_activations")) in NORMALIZATIONS:
        options["normalize_activations"] = NORMALIZATIONS[str(options["normalize_activations"])]
    _architecture(seeds, options)
    _top_k_sparsity(seeds, options)
    _resampling(seeds, options)
    _hook_sites(seeds, options)
    return options, _whole(seeds["hidden_dim"], "hidden_dim") if "hidden_dim" in seeds else None


def _architecture(seeds: Mapping[str, Any], options: dict[str, Any]) -> None:
    if "architecture_type" in seeds:
        asked = seeds["architecture_type"]
        if not isinstance(asked, str) or asked not in ARCHITECTURES:
            raise _refusal(
                "architecture_type", f"There is no architecture {asked!r}.", f"Known: {_words(ARCHITECTURES)}."
            )
        _put(options, "architecture", ARCHITECTURES[asked], "architecture_type")
    elif "l1_alpha" in seeds and "top_k_sparsity" not in seeds:
        options.setdefault("architecture", "standard")


def _top_k_sparsity(seeds: Mapping[str, Any], options: dict[str, Any]) -> None:
    """A percentage of the latents, as k: rounded, 1 at least."""
    if "top_k_sparsity" not in seeds:
        return
    if _architecture_of(options) not in TOPK_FAMILY:
        raise _refusal(
            "top_k_sparsity",
            f"top_k_sparsity has no meaning for the architecture {_architecture_of(options)}.",
            f"Leave it out, or choose one of {', '.join(TOPK_FAMILY)}.",
        )
    percent, latents = seeds["top_k_sparsity"], options.get("d_sae", TrainSpec.__dataclass_fields__["d_sae"].default)
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 < percent <= 100:
        raise _refusal("top_k_sparsity", f"{percent!r} is no percentage.", "Give more than 0 and at most 100.")
    k = max(1, round(percent / 100 * _whole(latents, "latent_dim")))
    _put(options, "k", k, "top_k_sparsity")


def _resampling(seeds: Mapping[str, Any], options: dict[str, Any]) -> None:
    """Who names an interval wants resampling: it replaces AuxK, unless AuxK is asked for by name too. 0 is no wish."""
    for name in ("resample_steps", "resample_interval"):
        if seeds.get(name):
            _put(options, "resample_every", seeds[name], name)
            options.setdefault("dead_latents", "resample")
            if options["dead_latents"] == "resample" and _architecture_of(options) in TOPK_FAMILY:
                options.setdefault("aux_coefficient", 0.0)


def _hook_sites(seeds: Mapping[str, Any], options: dict[str, Any]) -> None:
    """Every layer with every hook type; a transcoder reads the MLP's input. Without a cache they mean text as source."""
    if "training_layers" not in seeds and "hook_types" not in seeds:
        return
    layers, types = seeds.get("training_layers"), seeds.get("hook_types", ["residual"])
    if not isinstance(layers, list) or not layers:
        raise _refusal("training_layers", "training_layers is no list of layers.", "Send the layers: [12, 15].")
    if not isinstance(types, list) or not types or not all(isinstance(kind, str) for kind in types):
        raise _refusal("hook_types", "hook_types is no list of names.", f"Send some of {_words(SITES)}.")
    named = SITES | ({"mlp": "mlp_in"} if _architecture_of(options) in TRANSCODERS else {})
    sites = [
        f"{_whole(layer, 'training_layers', least=0)}.{named.get(kind, kind)}" for layer in layers for kind in types
    ]
    _put(options, "hook_sites", sites, "training_layers")
    if "activation_cache" not in options:
        options.setdefault("source", "text")


def _architecture_of(options: Mapping[str, Any]) -> Any:
    return options.get("architecture", TrainSpec.__dataclass_fields__["architecture"].default)


def _put(options: dict[str, Any], name: str, value: Any, seed_name: str) -> None:
    """Set an option that the body may not have given another value by another name."""
    if name in options and options[name] != value:
        raise _refusal(
            seed_name,
            f"{seed_name} means {name} = {value!r}, but {name} = {options[name]!r} is given too.",
            "Give one of them.",
        )
    options[name] = value


def _whole(value: Any, name: str, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _refusal(name, f"{name} = {value!r} is not a whole number from {least}.", "Correct the value.")
    return value


def _words(known: Mapping[str, str]) -> str:
    return ", ".join(known)


def _refusal(name: str, message: str, hint: str) -> AppError:
    return AppError("spec_invalid", message, hint, field=name)
