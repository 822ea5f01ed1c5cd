"""The web side's estimate of memory equals the engine's."""

import pytest
import torch

from apps.training.estimates import largest_d_sae, training_bytes
from workers.engine.specs.training import TrainSpec
from workers.engine.training.memory import training_bytes as engine_bytes


@pytest.mark.parametrize("architecture", ["topk", "standard"])
@pytest.mark.parametrize(("d_in", "d_sae", "batch"), [(16, 64, 8), (576, 4608, 4096)])
def test_page_and_engine_count_the_same_bytes(architecture, d_in, d_sae, batch):
    spec = TrainSpec(activation_cache=1, architecture=architecture, d_sae=d_sae, batch_size=batch, k=4)
    assert training_bytes(spec, d_in) == engine_bytes(spec, d_in, torch.float32)


def test_the_largest_dictionary_fits_and_one_latent_more_does_not():
    spec = TrainSpec(activation_cache=1, d_sae=64, batch_size=128, k=4)
    room = 10_000_000
    largest = largest_d_sae(spec=spec, d_in=32, room_bytes=room)
    fitting = TrainSpec(activation_cache=1, d_sae=largest, batch_size=128, k=4)
    larger = TrainSpec(activation_cache=1, d_sae=largest + 1, batch_size=128, k=4)
    assert training_bytes(fitting, 32) <= room < training_bytes(larger, 32)
    assert largest_d_sae(spec=spec, d_in=32, room_bytes=0) == 0
