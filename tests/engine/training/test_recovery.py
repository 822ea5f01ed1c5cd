"""The whole way from a cache to a finished SAE finds the dictionary that made the activations.

tests/truth asks the same of every architecture, beside SAELens.
"""

import pytest
import torch

from tests.engine.training.worlds import cache_write, dictionary_activations, inputs, sae_folder, spec
from tests.truth.scores import mcc
from workers.engine.formats.saelens import sae_read
from workers.engine.progress import Progress
from workers.engine.training.training import train

WORLD = {"steps": 1500, "batch_size": 512, "d_sae": 64, "checkpoint_every": 10_000, "log_every": 500}


@pytest.mark.parametrize(
    "architecture, options, least",
    [
        ("topk", {"k": 3, "dead_after_tokens": 50_000}, 0.85),
        ("standard", {"l1_coefficient": 1.0, "sparsity_warmup_steps": 100}, 0.8),
    ],
)
def test_training_recovers_a_known_dictionary(architecture, options, least, tmp_path):
    x, truth_FD = dictionary_activations()
    where = inputs(tmp_path, cache_write(tmp_path / "cache", x))
    train(spec(architecture, **WORLD | options), where, Progress())
    found = mcc(sae_read(sae_folder(where)).W_dec, truth_FD)
    floor = mcc(torch.randn(64, 32, generator=torch.Generator().manual_seed(9)), truth_FD)
    assert floor < 0.55
    assert found > least
