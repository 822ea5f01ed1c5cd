"""Schedules against SAELens' own schedulers and against their words."""

import pytest
import torch
from sae_lens.training.optim import CoefficientScheduler, get_lr_scheduler

from workers.engine.specs.schedule import learning_rate_at, schedule_notes, sparsity_coefficient_at
from workers.engine.specs.training import TrainSpec


def spec(**options) -> TrainSpec:
    return TrainSpec(activation_cache=1, **options)


def test_warm_up_and_plateau_equal_saelens():
    ours = spec(steps=50, lr_warmup_steps=10, lr_decay_pct=0.0, learning_rate=0.1)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = get_lr_scheduler(
        "constant",
        optimizer,
        training_steps=50,
        lr=0.1,
        warm_up_steps=10,
        decay_steps=0,
        lr_end=0.01,
        num_cycles=1,
    )
    for step in range(50):
        assert learning_rate_at(step, ours) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_the_rate_falls_linearly_over_the_last_part_and_never_reaches_zero():
    ours = spec(steps=100, lr_decay_pct=20.0, learning_rate=1.0)
    rates = [learning_rate_at(step, ours) for step in range(100)]
    assert rates[:81] == [1.0] * 81
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)


def test_the_sparsity_warm_up_equals_saelens():
    ours = spec(architecture="standard", l1_coefficient=3.0, sparsity_warmup_steps=7)
    theirs = CoefficientScheduler(warm_up_steps=7, final_value=3.0)
    for step in range(20):
        assert sparsity_coefficient_at(step, ours) == pytest.approx(theirs.value)
        theirs.step()


def test_without_warm_up_everything_is_full_at_once():
    ours = spec(architecture="standard", steps=10, lr_decay_pct=0.0, sparsity_warmup_steps=0)
    assert learning_rate_at(0, ours) == ours.learning_rate
    assert sparsity_coefficient_at(0, ours) == ours.l1_coefficient


def test_the_cosine_falls_like_pytorchs_over_the_last_part():
    ours = spec(steps=100, lr_decay="cosine", lr_decay_pct=20.0, learning_rate=1.0)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(80):
        assert learning_rate_at(step, ours) == 1.0
    for step in range(80, 100):
        assert learning_rate_at(step, ours) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_constant_rate_stays_to_the_end():
    ours = spec(steps=100, lr_decay="constant", lr_decay_pct=50.0, learning_rate=1.0)
    assert {learning_rate_at(step, ours) for step in range(100)} == {1.0}


def test_jumprelus_coefficient_warms_up_like_the_others():
    ours = spec(architecture="jumprelu", l0_coefficient=2.0, sparsity_warmup_steps=4)
    assert [sparsity_coefficient_at(step, ours) for step in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 1000, "lr_warmup_steps": 800, "lr_decay": "constant"}, []),
        (
            {"steps": 1000, "lr_warmup_steps": 2000, "lr_decay": "constant"},
            ["reaches 50 % of 0.0003 at most and ends at 50 %"],
        ),
        ({"steps": 1000, "lr_warmup_steps": 2000}, ["reaches 40.1 % of 0.0003 at most and ends at 0.25 %"]),
        ({"steps": 1000, "lr_warmup_steps": 900}, ["before its warm-up of 900 steps is over: it reaches 89"]),
        ({"architecture": "standard", "steps": 2000, "sparsity_warmup_steps": 4081}, ["it ends at 49 % of 5"]),
        ({"architecture": "jumprelu", "steps": 2000, "sparsity_warmup_steps": 4000}, ["it ends at 50 % of"]),
        ({"architecture": "standard", "steps": 2000, "sparsity_warmup_steps": 1000}, []),
        ({"architecture": "topk", "steps": 10, "sparsity_warmup_steps": 4000}, []),
        (
            {
                "architecture": "standard",
                "sparsity_warmup_steps": 0,
                "dead_latents": "resample",
                "resample_every": 1600,
            },
            ["every 1,600 steps up to step 1,500: never"],
        ),
        (
            {
                "architecture": "standard",
                "sparsity_warmup_steps": 0,
                "dead_latents": "resample",
                "resample_every": 1500,
            },
            [],
        ),
    ],
)
def test_a_schedule_that_the_run_does_not_carry_through_names_the_value_it_reaches(options, said):
    usual = {"l1_coefficient": 5.0} if options.get("architecture") == "standard" else {}
    notes = schedule_notes(spec(**usual, **options))
    assert len(notes) == len(said)
    for note, words in zip(notes, said):
        assert words in note


def test_a_run_that_ended_early_names_the_values_it_had_reached():
    made = spec(architecture="standard", l1_coefficient=5.0, steps=2000, sparsity_warmup_steps=1000)
    notes = schedule_notes(made, ended_at=491)
    assert "after 491 of 2,000 steps, with the learning rate at 100 %" in notes[0]
    assert "the run has 491: it ended at 49 % of 5" in notes[1]


def test_the_share_said_is_the_share_used():
    made = spec(architecture="standard", l1_coefficient=5.0, steps=2000, sparsity_warmup_steps=4000)
    share = 100 * sparsity_coefficient_at(1999, made) / 5
    assert f"ends at {share:.3g} %" in schedule_notes(made)[0]
