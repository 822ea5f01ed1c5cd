"""The formula of a training's memory against what PyTorch's profiler saw being allocated."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.engine.training.worlds import cache_write, inputs, spec
from workers.engine.progress import Progress
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.specs.training import ARCHITECTURES, TRANSCODERS, TrainSpec
from workers.engine.specs.training_memory import (
    BLOCKS,
    largest_d_sae,
    state_bytes,
    step_bytes,
    training_memory,
    weights_bytes,
)
from workers.engine.training.trainer import Trainer
from workers.engine.training.training import train


def peak_bytes(work) -> int:
    """The most that `work` held at once on the CPU, of what it allocated itself."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))
@pytest.mark.parametrize("d_in, d_sae, tokens", [(128, 1024, 2048), (256, 4096, 256)])
def test_the_formula_is_within_a_quarter_of_the_measured_peak(architecture, d_in, d_sae, tokens, tmp_path):
    x = torch.randn(3000, d_in, generator=torch.Generator().manual_seed(0))
    cache = cache_write(tmp_path / "cache", x, x.flip(0) if architecture in TRANSCODERS else None)
    # nearly all latents count as dead after the first step, so that AuxK takes its part
    wanted = spec(architecture, d_sae=d_sae, k=16, batch_size=tokens, steps=3, dead_after_tokens=tokens)
    measured = peak_bytes(lambda: train(wanted, inputs(tmp_path, cache), Progress()))
    assert training_memory(wanted, [(d_in, d_in)]).total_bytes == pytest.approx(measured, rel=0.25)


@pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))
def test_weights_are_counted_to_the_byte(architecture):
    wanted = spec(architecture, d_sae=40)
    trainer = Trainer(wanted, 24, 24, device="cpu", matmul_dtype=torch.float32)
    assert weights_bytes(wanted, 24, 24) == trainer.sae.weights.nbytes


def test_every_architecture_has_its_numbers():
    assert set(BLOCKS) == {name for name, _ in ARCHITECTURES}


def test_states_of_a_sweep_add_up_and_the_largest_step_counts_once():
    sweep = training_memory(spec(sweep_d_sae=(4096, 8192), batch_size=4096), [(64, 64)])
    small, large = (spec(d_sae=d_sae, batch_size=4096) for d_sae in (4096, 8192))
    assert sweep.state_bytes == state_bytes(small, 64, 64) + state_bytes(large, 64, 64)
    assert sweep.passing_bytes == step_bytes(large, 64, 64)


def test_sites_of_different_widths_count_with_their_own():
    two = TrainSpec(
        source="text", language_model=1, tokenization=1, hook_sites=("1.resid_post", "1.attn_z"), d_sae=64, k=4
    )
    memory = training_memory(two, [(32, 32), (48, 48)])
    assert memory.state_bytes == state_bytes(two, 32, 32) + state_bytes(two, 48, 48)
    assert memory.stream_bytes == 2 * 4 * 4096 * (32 + 48)


def test_smaller_pieces_of_a_batch_and_an_average_change_the_need():
    usual = training_memory(spec(batch_size=4096, d_sae=4096), [(64, 64)]).total_bytes
    assert training_memory(spec(batch_size=4096, d_sae=4096, micro_batch_size=512), [(64, 64)]).total_bytes < usual
    averaged = training_memory(spec(batch_size=4096, d_sae=4096, weight_average_decay=0.9), [(64, 64)]).total_bytes
    assert averaged == usual + weights_bytes(spec(d_sae=4096), 64, 64)


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_the_largest_dictionary_fits_and_one_latent_more_does_not(architecture):
    wanted, room = spec(architecture, batch_size=256), 50_000_000
    largest = largest_d_sae(wanted, [(32, 32)], room)
    fitting, larger = (spec(architecture, batch_size=256, d_sae=largest + more) for more in (0, 1))
    assert training_memory(fitting, [(32, 32)]).total_bytes <= room
    assert room < training_memory(larger, [(32, 32)]).total_bytes
    assert largest_d_sae(wanted, [(32, 32)], 0) == 0
