"""An option that changes nothing does not exist: each one of a training changes what comes out of a run on a cache.

What comes out: the finished weights of every SAE, the steps of its points, the steps and folders of its checkpoints. Options
of the text source have their test in test_text.py; those that only rows and runners read are named in ELSEWHERE.
"""

from pathlib import Path

import pytest

from tests.engine.training.worlds import Wishing, inputs, spec, weights
from workers.engine.specs.training import TrainSpec
from workers.engine.training.training import train

JUMPRELU = {"architecture": "jumprelu", "l0_coefficient": 0.1, "bandwidth": 0.5}
TANH = JUMPRELU | {"l0_loss": "tanh"}
RESAMPLED = {"aux_coefficient": 0.0, "dead_latents": "resample", "resample_every": 8, "dead_after_tokens": 64}

CHANGES = {
    "architecture": ({}, "standard"),
    "d_sae": ({}, 40),
    "k": ({}, 6),
    "l1_coefficient": ({"architecture": "standard"}, 5.0),
    "l0_coefficient": (JUMPRELU, 0.5),
    "l0_loss": (JUMPRELU, "tanh"),
    "target_l0": (JUMPRELU | {"l0_loss": "quadratic"}, 4.0),
    "sparsity_warmup_steps": ({"architecture": "standard"}, 0),
    "bandwidth": (JUMPRELU, 0.1),
    "initial_threshold": (JUMPRELU, 0.1),
    "tanh_scale": (TANH, 1.0),
    "pre_act_coefficient": (TANH | {"initial_threshold": 5.0}, 0.1),
    "matryoshka_widths": ({"architecture": "matryoshka"}, (8, 24)),
    "skip_rank": ({"architecture": "skip"}, 2),
    "aux_k": ({}, 2),
    "aux_coefficient": ({}, 0.2),
    "decoder": ({}, "frozen"),
    "b_dec_start": ({"b_dec_start": "mean"}, "zero"),
    "normalize_decoder": ({}, True),
    "sweep_d_sae": ({}, (32, 48)),
    "sweep_k": ({}, (2, 4)),
    "sweep_coefficient": ({"architecture": "standard"}, (0.5, 1.0)),
    "sweep_seeds": ({}, (1, 2)),
    "steps": ({}, 25),
    "batch_size": ({}, 32),
    "micro_batch_size": ({"architecture": "batchtopk"}, 16),
    "learning_rate": ({}, 1e-3),
    "lr_warmup_steps": ({}, 10),
    "lr_decay": ({}, "cosine"),
    "lr_decay_pct": ({}, 80.0),
    "adam_beta1": ({}, 0.5),
    "adam_beta2": ({}, 0.9),
    "adam_eps": ({}, 1e-2),
    "weight_decay": ({}, 0.5),
    "clip_grad_norm": ({}, 0.01),
    "weight_average_decay": ({}, 0.9),
    "normalize_activations": ({}, "none"),
    "dead_after_tokens": ({}, 1_000_000),
    "dead_latents": ({}, "none"),
    "resample_every": (RESAMPLED, 12),
    "checkpoint_every": ({}, 7),
    "keep_checkpoints": ({}, 3),
    "log_every": ({}, 6),
    "seed": ({}, 1),
}
ELSEWHERE = {
    "name": "of the row",
    "device": "of the supervisor",
    "activation_cache": "of the runner, which names the cache's folder",
    "language_model": "of the runner",
    "tokenization": "of the runner",
    "use_cache": "of the runner",
    "source": "test_text.py",
    "more_tokenizations": "test_text.py",
    "mixing": "test_text.py",
    "mixing_weights": "test_text.py",
    "hook_sites": "test_text.py",
    "leave_out_special": "test_special_tokens.py",
    "buffer_tokens": "test_text.py",
    "lm_dtype": "test_text.py",
    "batch_contexts": "test_text.py",
    "ce_contexts": "test_text.py",
}


def outcome(cache: Path, folder: Path, options: dict) -> dict:
    """What comes out of a run, in values that can be compared."""
    where, progress = inputs(folder, cache), Wishing("none", 10**9)
    result = train(spec(**options), where, progress)
    return {
        "weights": [
            {name: tensor.tolist() for name, tensor in weights(where, trained.member).items()}
            for trained in result.saes
        ],
        "points": [point["step"] for point in progress.of("metrics")],
        "checkpoints": [line["step"] for line in progress.of("checkpoint")],
        "kept": sorted(path.name for path in (Path(where.job_dir) / "checkpoints").iterdir()),
    }


@pytest.fixture(scope="module")
def usual(cache, tmp_path_factory):
    """Base options → what comes out; each is run once."""
    known = {}

    def run(base):
        key = str(sorted(base.items()))
        if key not in known:
            known[key] = outcome(cache, tmp_path_factory.mktemp("usual"), base)
        return known[key]

    return run


@pytest.mark.parametrize("option", sorted(CHANGES))
def test_every_option_of_a_run_changes_what_comes_out(option, usual, cache, tmp_path):
    base, value = CHANGES[option]
    # no bare ==: pytest would explain the difference of two long lists
    is_same = usual(base) == outcome(cache, tmp_path, base | {option: value})
    assert not is_same


def test_a_run_without_a_change_comes_out_the_same(usual, cache, tmp_path):
    is_same = usual({}) == outcome(cache, tmp_path, {})
    assert is_same


def test_no_option_is_forgotten():
    assert set(CHANGES) | set(ELSEWHERE) == set(TrainSpec.options())
