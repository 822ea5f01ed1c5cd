"""Random picks by counting: fair, different for each latent, the same for each seed."""

import numpy as np

from workers.engine.features.random_picks import even_choices, random_below, random_choices


def test_random_choices_are_all_equally_likely_and_differ_between_latents():
    latents, drawn = np.arange(30_000), {}
    for name, choose in (("each", random_choices), ("even", even_choices)):
        drawn[name] = choose(np.full(len(latents), 7), 3, 5, latents, 1)
        assert (np.diff(drawn[name], axis=1) > 0).all() and (drawn[name] >= 0).all()
        shares = np.bincount(drawn[name].ravel(), minlength=7) / len(latents)
        np.testing.assert_allclose(shares, 3 / 7, atol=0.015)
    assert len(np.unique(drawn["each"], axis=0)) == 35  # all ways to choose 3 of 7
    assert random_choices(np.array([2, 0]), 3, 5, np.arange(2)).tolist() == [[0, 1, -1], [-1, -1, -1]]
    assert even_choices(np.array([2, 0]), 3, 5, np.arange(2)).tolist() == [[0, 1, -1], [-1, -1, -1]]


def test_a_number_depends_on_the_seed_and_on_each_counter():
    drawn = [random_below(2**31, *counters) for counters in ((0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3), (0, 2, 1))]
    assert len(set(map(int, drawn))) == len(drawn)
    assert random_below(2**31, 0, np.array([5, 1]), 2)[1] == drawn[0]
