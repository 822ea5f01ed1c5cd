"""The seed's names: each becomes today's option, and contradictions are refused."""

import pytest

from apps.core.errors import AppError
from apps.presets.seed_names import ARCHITECTURES, NORMALIZATIONS, RENAMED, seed_names_translate
from workers.engine.specs.training import ARCHITECTURES as OWN_ARCHITECTURES
from workers.engine.specs.training import TRAINING_NORMALIZATIONS, TrainSpec

TRANSLATIONS = [
    ({"latent_dim": 512}, {"d_sae": 512}),
    ({"l1_alpha": 5e-4}, {"l1_coefficient": 5e-4, "architecture": "standard"}),
    ({"l1_alpha": 5e-4, "architecture": "gated"}, {"l1_coefficient": 5e-4, "architecture": "gated"}),
    ({"learning_rate": 1e-3, "batch_size": 64}, {"learning_rate": 1e-3, "batch_size": 64}),
    ({"num_steps": 100}, {"steps": 100}),
    ({"total_steps": 100}, {"steps": 100}),
    ({"total_steps": 100, "num_steps": 100, "steps": 100}, {"steps": 100}),
    ({"normalize_activations": "none"}, {"normalize_activations": "none"}),
    ({"normalize_activations": "constant_norm_rescale"}, {"normalize_activations": "constant_norm_rescale"}),
    ({"normalize_activations": "anthropic_rescale"}, {"normalize_activations": "expected_average_only_in"}),
    ({"top_k_sparsity": 1.0, "latent_dim": 512}, {"d_sae": 512, "k": 5}),
    ({"top_k_sparsity": 0.01, "latent_dim": 512}, {"d_sae": 512, "k": 1}),
    (
        {"top_k_sparsity": 1, "d_sae": 64, "architecture": "batchtopk"},
        {"d_sae": 64, "k": 1, "architecture": "batchtopk"},
    ),
    ({"top_k_sparsity": 1}, {"k": 46}),  # of the default, 4608
    ({"top_k": 9, "aux_loss_alpha": 0.03125}, {"k": 9, "aux_coefficient": 0.03125}),
    ({"checkpoint_interval": 7, "log_interval": 3}, {"checkpoint_every": 7, "log_every": 3}),
    ({"dead_neuron_threshold": 10_000}, {"dead_after_tokens": 10_000}),
    ({"warmup_steps": 20, "adam_epsilon": 1e-9}, {"lr_warmup_steps": 20, "adam_eps": 1e-9}),
    ({"grad_clip_norm": 2.0, "sparsity_coeff": 0.5}, {"clip_grad_norm": 2.0, "l0_coefficient": 0.5}),
    ({"architecture_type": "standard_saelens"}, {"architecture": "standard"}),
    ({"architecture_type": "standard_anthropic"}, {"architecture": "standard"}),
    ({"architecture_type": "skip"}, {"architecture": "skip"}),
    (
        {"architecture": "standard", "resample_steps": 500},
        {"architecture": "standard", "resample_every": 500, "dead_latents": "resample"},
    ),
    ({"resample_steps": 500}, {"resample_every": 500, "dead_latents": "resample", "aux_coefficient": 0.0}),
    ({"resample_steps": 0}, {}),
    (
        {"training_layers": [3, 5], "hook_types": ["residual", "attention"]},
        {"hook_sites": ["3.resid_post", "3.attn_out", "5.resid_post", "5.attn_out"], "source": "text"},
    ),
    ({"training_layers": [3]}, {"hook_sites": ["3.resid_post"], "source": "text"}),
    (
        {"training_layers": [3], "hook_types": ["mlp"], "architecture_type": "transcoder"},
        {"hook_sites": ["3.mlp_in"], "source": "text", "architecture": "transcoder"},
    ),
    (
        {"training_layers": [3], "hook_types": ["mlp"], "activation_cache": 1},
        {"hook_sites": ["3.mlp_out"], "activation_cache": 1},
    ),
    ({"latent_dim": None, "l1_alpha": None, "top_k_sparsity": None}, {}),
    ({"k": 5, "unheard": 1}, {"k": 5, "unheard": 1}),
]


@pytest.mark.parametrize(("body", "options"), TRANSLATIONS, ids=lambda value: ",".join(value) or "nothing")
def test_a_seed_name_becomes_its_option(body, options):
    before = dict(body)
    assert seed_names_translate(body) == (options, None)
    assert body == before


REFUSED = [
    ({"latent_dim": 512, "d_sae": 256}, "latent_dim"),
    ({"num_steps": 10, "total_steps": 20}, "total_steps"),
    ({"top_k_sparsity": 50, "latent_dim": 512, "k": 5}, "top_k_sparsity"),
    ({"top_k_sparsity": 0}, "top_k_sparsity"),
    ({"top_k_sparsity": 101}, "top_k_sparsity"),
    ({"top_k_sparsity": "many"}, "top_k_sparsity"),
    ({"top_k_sparsity": 1, "latent_dim": "wide"}, "latent_dim"),
    ({"top_k_sparsity": 1, "architecture_type": "standard_saelens"}, "top_k_sparsity"),
    ({"architecture_type": "dense"}, "architecture_type"),
    ({"architecture_type": ["topk"]}, "architecture_type"),
    ({"architecture_type": "jumprelu", "architecture": "topk"}, "architecture_type"),
    ({"hidden_dim": 0}, "hidden_dim"),
    ({"hidden_dim": "768"}, "hidden_dim"),
    ({"hook_types": ["residual"]}, "training_layers"),
    ({"training_layers": [-1]}, "training_layers"),
    ({"training_layers": [1], "hook_types": "residual"}, "hook_types"),
    ({"training_layers": [1], "hook_sites": ["2.resid_post"]}, "training_layers"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED, ids=lambda value: str(value))
def test_what_contradicts_itself_or_means_nothing_is_refused_by_its_name(body, field):
    with pytest.raises(AppError) as refused:
        seed_names_translate(body)
    assert (refused.value.code, refused.value.field) == ("spec_invalid", field)
    assert refused.value.hint


def test_the_width_is_kept_apart():
    assert seed_names_translate({"hidden_dim": 768, "latent_dim": 512}) == ({"d_sae": 512}, 768)


def test_every_name_leads_to_an_option_or_a_choice_that_exists():
    assert set(RENAMED.values()) <= set(TrainSpec.options())
    assert set(ARCHITECTURES.values()) <= {name for name, _ in OWN_ARCHITECTURES}
    assert set(NORMALIZATIONS.values()) <= {name for name, _ in TRAINING_NORMALIZATIONS}


def test_all_eleven_of_the_seed_together_make_a_spec():
    body = {
        "hidden_dim": 576,
        "latent_dim": 4608,
        "l1_alpha": 5e-4,
        "learning_rate": 3e-4,
        "batch_size": 2048,
        "num_steps": 1000,
        "normalize_activations": "constant_norm_rescale",
        "top_k_sparsity": 1.0,
        "checkpoint_interval": 500,
        "dead_neuron_threshold": 100_000,
        "resample_steps": 300,
    }
    options, hidden_dim = seed_names_translate(body)
    spec = TrainSpec(activation_cache=1, **options)
    assert (hidden_dim, spec.architecture, spec.k, spec.dead_latents) == (576, "topk", 46, "resample")
