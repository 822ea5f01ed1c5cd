"""Metrics against NumPy, against SAELens, and against identities that hold whatever the data."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sae_lens.evals import ExplainedVarianceCalculator

from workers.engine import metrics

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(500, 12, generator=GENERATOR) * torch.linspace(0.5, 3, 12) + torch.linspace(-20, 20, 12)
X_HAT = X + 0.5 * torch.randn(500, 12, generator=GENERATOR)


def fvu(x, x_hat, batches=1):
    meter = metrics.FvuMeter()
    for part, part_hat in zip(x.tensor_split(batches), x_hat.tensor_split(batches)):
        meter.add(part, part_hat)
    return meter.value()


def test_fvu_is_error_over_variance_about_per_dimension_means():
    x, x_hat = X.double().numpy(), X_HAT.double().numpy()
    expected = ((x - x_hat) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()
    assert fvu(X, X_HAT) == pytest.approx(expected, rel=1e-5)


def test_fvu_equals_saelens():
    theirs = ExplainedVarianceCalculator()
    theirs.add_batch(sae_output=X_HAT, hidden_acts=X)
    assert metrics.explained_variance(fvu(X, X_HAT)) == pytest.approx(theirs.compute(), abs=1e-5)


@given(batches=st.integers(1, 20))
def test_splitting_the_batch_changes_nothing(batches):
    assert fvu(X, X_HAT, batches) == pytest.approx(fvu(X, X_HAT), rel=1e-6)


@given(constant=st.floats(-1000, 1000, width=32))
def test_adding_a_constant_changes_nothing(constant):
    assert fvu(X + constant, X_HAT + constant) == pytest.approx(fvu(X, X_HAT), rel=1e-3)


def test_the_identity_explains_everything_and_the_mean_nothing():
    assert fvu(X, X) == 0
    assert fvu(X, X.mean(0).expand_as(X), batches=7) == pytest.approx(1, abs=1e-6)


def test_one_global_mean_would_flatter():
    """The trap that per-dimension means avoid: offsets between dimensions look like explained variance."""
    global_mean = ((X - X_HAT) ** 2).sum() / ((X - X.mean()) ** 2).sum()
    assert fvu(X, X_HAT) > 5 * global_mean


def test_without_variance_there_is_no_fvu():
    assert math.isnan(fvu(torch.ones(3, 2), torch.zeros(3, 2)))
    assert math.isnan(metrics.FvuMeter().value())


def test_density_times_tokens_counts_firings_and_l0_is_their_sum():
    f = torch.rand(40, 9, generator=GENERATOR) * (torch.rand(40, 9, generator=GENERATOR) < 0.3)
    f[:, 4] = 0
    fired = (f > 0).sum(0)
    density = metrics.density(fired, 40)
    assert torch.equal((density * 40).round().long(), fired)
    assert metrics.l0(fired, 40) == pytest.approx(np.count_nonzero(f.numpy(), axis=1).mean())
    assert metrics.l0(fired, 40) == pytest.approx(density.sum().item(), rel=1e-6)
    assert metrics.dead_share(fired) == pytest.approx((fired == 0).sum().item() / 9)


def test_log_densities_follow_saelens():
    assert metrics.log10_density(torch.tensor([0, 1, 1000]), 1000).tolist() == pytest.approx([-10, -3, 0], abs=1e-5)


def test_the_histogram_equals_numpys_and_leaves_dead_latents_out():
    density = torch.tensor([0, 0, 1e-9, 2e-7, 1e-5, 0.003, 0.003, 0.5, 1.0])
    counts = metrics.density_histogram(density)
    logs = np.clip(np.log10(density[density > 0].double().numpy()), -7, 0)
    assert counts == tuple(np.histogram(logs, bins=np.arange(-7, 0.01, 0.25))[0])
    assert sum(counts) == 7
    assert len(counts) == 28


def test_ce_recovered_is_one_for_the_identity_and_zero_for_zeros():
    assert metrics.ce_recovered(3.0, 3.0, 11.0) == 1
    assert metrics.ce_recovered(3.0, 11.0, 11.0) == 0
    assert metrics.ce_recovered(3.0, 5.0, 11.0) == 0.75
    assert math.isnan(metrics.ce_recovered(3.0, 3.0, 3.0))
    assert math.isnan(metrics.ce_recovered(3.0, 3.1, 2.9)), "zeros do better than the model: 200 % would be nonsense"


def test_kl_divergence_equals_pytorchs_and_is_0_for_equal_predictions():
    clean, changed = torch.randn(2, 7, 30, generator=torch.Generator().manual_seed(4)) * 3
    expected = torch.nn.functional.kl_div(
        changed.log_softmax(-1), clean.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)
    assert torch.allclose(metrics.kl_divergence(clean, changed), expected, atol=1e-6)
    assert torch.equal(metrics.kl_divergence(clean, clean), torch.zeros(7))


def test_kl_recovered_is_one_for_the_identity_and_zero_for_zeros():
    assert metrics.kl_recovered(0.0, 2.5) == 1
    assert metrics.kl_recovered(2.5, 2.5) == 0
    assert math.isnan(metrics.kl_recovered(0.0, 0.0))


def test_the_mean_over_contexts_has_the_standard_error_of_independent_contexts():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(40, 7)) + generator.normal(size=(40, 1))
    mean, stderr = metrics.clustered_mean(torch.tensor(values.sum(1)), torch.full((40,), 7))
    assert mean == pytest.approx(values.mean())
    assert stderr == pytest.approx(values.mean(1).std(ddof=1) / np.sqrt(40))


def test_the_standard_error_over_contexts_of_unequal_lengths_is_what_repeated_draws_show():
    generator = np.random.default_rng(1)
    found = []
    for _ in range(2000):
        counts = generator.integers(1, 20, 60)
        sums = np.array([(generator.normal() + generator.normal(size=n)).sum() for n in counts])
        found.append(metrics.clustered_mean(torch.tensor(sums), torch.tensor(counts)))
    means, errors = np.array(found).T
    assert errors.mean() == pytest.approx(means.std(), rel=0.08)


def test_a_mean_of_one_context_or_none_says_what_it_lacks():
    mean, stderr = metrics.clustered_mean(torch.tensor([3.0]), torch.tensor([2]))
    assert mean == 1.5 and math.isnan(stderr)
    assert all(map(math.isnan, metrics.clustered_mean(torch.zeros(0), torch.zeros(0))))
