"""Warnings while a run learns: each once for an SAE, when its numbers say so, and in words that say what helps."""

import pytest

from tests.engine.training.worlds import Wishing, inputs, spec
from workers.engine.progress import Progress
from workers.engine.training.symptoms import Symptoms
from workers.engine.training.training import train


def warnings(wanted, *points: tuple[int, dict[str, float]]) -> list[str]:
    """What is told when every SAE of `wanted` has these metrics at these steps; healthy unless they say otherwise."""
    progress = Progress()
    symptoms, members = Symptoms(wanted, progress), wanted.members()
    for step, values in points:
        symptoms.look(step, members, [{"dead_share": 0.0, "l0": 5.0} | values] * len(members))
    assert all(line["level"] == "warning" for line in progress.lines)
    return [line["text"] for line in progress.lines]


def test_a_healthy_run_is_told_nothing():
    assert warnings(spec("standard"), (5, {}), (30, {"dead_share": 0.5})) == []


def test_dead_latents_are_told_at_half_and_once_more_at_seven_tenths():
    points = [(at, {"dead_share": dead}) for at, dead in ((5, 0.4), (10, 0.6), (15, 0.65), (20, 0.8), (25, 0.9))]
    many, most = warnings(spec(), *points)
    assert many.startswith("Step 10: 60% of the latents have not fired for 256 tokens.")
    assert most.startswith("Step 20: 80% of the latents")


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({}, "larger k"),
        ({"aux_coefficient": 0.0}, "AuxK brings"),
        ({"architecture": "standard"}, "Resampling"),
        ({"architecture": "standard", "dead_latents": "resample"}, "smaller learning rate"),
    ],
)
def test_the_advice_is_something_that_is_not_done_yet(options, advice):
    assert advice in warnings(spec(**options), (5, {"dead_share": 0.6}))[0]


def test_an_l0_of_three_times_the_target_is_told_once_the_loss_has_had_time():
    wanted = spec("jumprelu", l0_loss="quadratic", target_l0=2.0)
    points = [(at, {"l0": l0}) for at, l0 in ((5, 40.0), (10, 5.9), (15, 6.5), (20, 7.0))]
    (told,) = warnings(wanted, *points)
    assert told.startswith("Step 15: L0 is 6, 3.2 times the target of 2. A larger L0 coefficient")


def test_an_l0_of_a_fifth_of_the_latents_or_below_one_is_told():
    dense, empty = warnings(spec("standard"), (10, {"l0": 12.0}), (20, {"l0": 0.25}))
    assert dense == "Step 10: L0 is 12, 25% of all latents. A larger L1 coefficient makes it sparse."
    assert empty.startswith("Step 20: L0 is 0.25: fewer than one latent")


def test_l0_is_no_symptom_where_k_decides_it():
    assert warnings(spec("topk", k=40), (30, {"l0": 40.0})) == []


def test_a_sweep_has_one_sentence_for_all_that_show_the_same_symptom():
    (told,) = warnings(spec(sweep_k=(2, 4, 8)), (10, {"dead_share": 0.55}))
    assert told.startswith("Step 10: SAE 0: 55% of the latents") and told.endswith("The same in 1, 2.")


def test_a_training_whose_penalty_kills_its_latents_says_so(cache, tmp_path):
    progress = Wishing("none", 10**9)
    train(spec("standard", l1_coefficient=100.0, steps=60), inputs(tmp_path, cache), progress)
    told = [line["text"] for line in progress.of("event") if line["level"] == "warning"]
    assert any("fewer than one latent fires" in words for words in told)
    assert any("of the latents have not fired for 256 tokens" in words for words in told)
