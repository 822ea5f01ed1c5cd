"""A small world of a minute: each architecture finds as much of its dictionary as SAELens', on the same batches.

All learn from one stream, so that one training of each shows everything asserted here.
"""

import pytest
import torch

from tests.truth.race import Course, both, race
from tests.truth.scores import mcc, said, scores
from tests.truth.worlds import world
from workers.engine.specs.training import TOPK_FAMILY

K = 2
COURSE = Course(d_sae=32, steps=700, batch_size=512, learning_rate=2e-3, dead_after_steps=100)
OPTIONS = {
    "topk": {"k": K},
    "batchtopk": {"k": K},
    "matryoshka": {"k": K, "matryoshka_widths": (8, 32)},
    "standard": {"l1_coefficient": 3.0},
    "gated": {"l1_coefficient": 3.0},
    "jumprelu": {"l0_coefficient": 10.0, "initial_threshold": 0.1, "bandwidth": 0.5},
}
every_architecture = pytest.mark.parametrize("architecture", OPTIONS)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Scores by name."""
    small, runners = world("small"), {}
    for name, options in OPTIONS.items():
        runners |= both(name, COURSE.spec(name, **options), small)
    saes = race(small, runners, COURSE, tmp_path_factory.mktemp("saes"), seed=0)
    found = {name: scores(sae, small) for name, sae in saes.items()}
    for name, score in found.items():
        print(f"{name}: {said(score)}")
    return found


@every_architecture
def test_ours_find_as_much_as_saelens_at_equal_l0(found, architecture):
    ours, theirs = found[f"ours {architecture}"], found[f"saelens {architecture}"]
    assert ours.sae_l0 == pytest.approx(theirs.sae_l0, rel=0.03)
    assert ours.mcc == pytest.approx(theirs.mcc, abs=0.02)
    assert ours.classification.f1_score == pytest.approx(theirs.classification.f1_score, abs=0.04)
    assert ours.explained_variance == pytest.approx(theirs.explained_variance, abs=0.01)


@every_architecture
def test_what_is_found_is_no_chance(found, architecture):
    small = world("small")
    random_FD = torch.randn(COURSE.d_sae, small.d_in, generator=torch.Generator().manual_seed(9))
    floor = mcc(random_FD, small.features_GD)
    assert floor < 0.45
    assert found[f"ours {architecture}"].mcc > floor + 0.15


@pytest.mark.parametrize("architecture", TOPK_FAMILY)
def test_inference_meets_k(found, architecture):
    """TopK exactly; the others by a threshold calibrated on held-out activations."""
    assert found[f"ours {architecture}"].sae_l0 == pytest.approx(K, rel=0.03)
