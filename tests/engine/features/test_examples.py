"""Examples and windows against a search by brute force."""

import numpy as np
import pytest

from tests.engine.features.worlds import random_activations
from workers.engine.features.examples import EMPTY, ExampleChooser, slot_groups, zero_pool
from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.near_misses import NearMisses
from workers.engine.features.top_tokens import top_tokens
from workers.engine.features.windows import WindowCutter
from workers.engine.specs.features import NEAR_GROUP, FeatureRunSpec

N, T = 12, 20
TOKENS = np.random.default_rng(1).integers(0, 50, (N, T), dtype=np.int32)
DENSE = random_activations(N, T, 5)
SPEC = FeatureRunSpec(
    sae=1, tokenization=1, top_examples=4, quantile_groups=3, quantile_examples=3, zero_examples=5,
    window_before=4, window_after=2, seed=3,
)  # fmt: skip


def _window(tokens, centre):
    """Token ids and flat positions of one window, written as a loop."""
    context, place = divmod(int(centre), T)
    ids, positions = [], []
    for t in range(place - SPEC.window_before, place + SPEC.window_after + 1):
        inside = 0 <= t < T
        ids.append(int(tokens[context, t]) if inside else -1)
        positions.append(context * T + t if inside else None)
    return ids, positions


def _firings(dense):
    """All latents of a dense array as one range."""
    latents, positions = np.nonzero(dense.T)
    bounds = np.searchsorted(latents, np.arange(dense.shape[1] + 1))
    return LatentFirings(0, dense.shape[1], positions, positions, dense[positions, latents], bounds)


def _top_ids(latents, tokens):
    """Each latent's tokens, most frequent first."""
    return top_tokens(latents, tokens.reshape(-1), 20).ids


def _choose_all(latents, tokens=TOKENS, spec=SPEC):
    """The centres of all latents of a range."""
    included = np.flatnonzero(np.arange(tokens.size) % T)
    cutter = WindowCutter(tokens, np.full(len(tokens), tokens.shape[1]), spec.window_before, spec.window_after)
    chooser = ExampleChooser(spec, cutter, zero_pool(included, spec.seed), NearMisses(cutter, included))
    return chooser.centres(latents, _top_ids(latents, tokens))


def _choose(latent, tokens=TOKENS, dense=DENSE, spec=SPEC):
    return _choose_all(_firings(dense), tokens, spec)[latent]


def test_windows_are_contiguous_and_end_at_the_edge_of_their_context():
    cutter = WindowCutter(TOKENS, np.full(len(TOKENS), TOKENS.shape[1]), SPEC.window_before, SPEC.window_after)
    centres = np.array([0, 1, T - 1, T, 3 * T + 7, N * T - 1])
    for latent in range(5):
        activations = cutter.activations(_firings(DENSE), np.full(len(centres), latent), centres)
        for row, centre in enumerate(centres):
            ids, places = _window(TOKENS, centre)
            assert cutter.token_ids(centres)[row].tolist() == ids
            expected = [0 if place is None else DENSE[place, latent] for place in places]
            np.testing.assert_array_equal(activations[row], np.array(expected, np.float32))


@pytest.mark.parametrize("latent", [0, 2, 3, 4])
def test_top_examples_are_the_strongest_of_each_context(latent):
    by_context = DENSE[:, latent].reshape(N, T)
    order = np.argsort(-by_context.max(1), kind="stable")
    expected = [c * T + by_context[c].argmax() for c in order if by_context[c].max() > 0][: SPEC.top_examples]
    assert _choose(latent)[: SPEC.top_examples].tolist() == expected


def test_the_same_window_in_two_documents_is_shown_once():
    tokens, dense = TOKENS.copy(), np.zeros_like(DENSE)
    tokens[3:9] = tokens[2]
    for rank, context in enumerate([*range(2, 9), 0]):
        dense[context * T + 10, 0] = 9 - rank
    chosen = _choose(0, tokens, dense)[: SPEC.top_examples]
    assert chosen.tolist() == [2 * T + 10, 10, EMPTY, EMPTY]


def test_many_copies_do_not_hide_what_comes_after_them(monkeypatch):
    monkeypatch.setattr("workers.engine.features.examples.CANDIDATES_PER_EXAMPLE", 1)
    tokens, dense = TOKENS.copy(), np.zeros_like(DENSE)
    tokens[:10] = tokens[0]
    dense[10::T, 0] = np.arange(N, 0, -1)
    assert _choose(0, tokens, dense)[:4].tolist() == [10, 10 * T + 10, 11 * T + 10, EMPTY]


@pytest.mark.parametrize("latent", [0, 2, 3, 4])
def test_quantile_examples_lie_in_their_interval_and_fill_it(latent):
    chosen, groups, values = _choose(latent), slot_groups(SPEC), DENSE[:, latent]
    width = float(values.max()) / SPEC.quantile_groups
    for group in range(1, SPEC.quantile_groups + 1):
        low, high = width * (SPEC.quantile_groups - group), width * (SPEC.quantile_groups - group + 1)
        possible = np.flatnonzero((values > low) & (values <= high * (1 + 1e-12)))
        picked = chosen[(groups == group) & (chosen != EMPTY)]
        assert len(picked) == min(len(possible), SPEC.quantile_examples) == len(set(picked))
        assert set(picked) <= set(possible)
        assert (np.diff(values[picked]) <= 0).all()


@pytest.mark.parametrize("latent", [0, 3, 4])
def test_zero_examples_are_silent_from_end_to_end(latent):
    picked = _choose(latent)[slot_groups(SPEC) == -1]
    silent = [
        centre
        for centre in range(N * T)
        if centre % T and not any(DENSE[p, latent] for p in _window(TOKENS, centre)[1] if p is not None)
    ]
    assert len(set(picked)) == min(len(silent), SPEC.zero_examples)
    assert set(picked) <= set(silent)


@pytest.mark.parametrize("latent", [0, 3, 4])
def test_near_misses_are_silent_windows_around_tokens_at_which_the_latent_fires(latent):
    dense = np.where(np.arange(len(DENSE))[:, None] % 3 == 0, DENSE, 0)
    tokens = TOKENS % 5
    picked = _choose(latent, tokens, dense)[slot_groups(SPEC) == NEAR_GROUP]
    fires_at = set(tokens.reshape(-1)[np.flatnonzero(dense[:, latent])].tolist())
    assert len(set(picked)) == SPEC.near_misses == 5
    for centre in picked:
        assert tokens.reshape(-1)[centre] in fires_at
        assert not any(dense[p, latent] for p in _window(tokens, centre)[1] if p is not None)


def test_frequent_tokens_take_turns_among_near_misses():
    tokens, dense = np.full((N, T), 9, np.int32), np.zeros_like(DENSE)
    tokens[:, 5], tokens[:, 15] = 7, 8
    dense[[5, 15], 0] = 2.0, 1.0
    dense[[10, 11], 0] = 1.0
    picked = _choose(0, tokens, dense)[slot_groups(SPEC) == NEAR_GROUP]
    assert [tokens.reshape(-1)[place] for place in picked] == [9, 7, 8, 9, 7]


def test_a_token_at_which_the_latent_always_fires_gives_no_near_miss():
    tokens, dense = np.full((N, T), 9, np.int32), np.zeros_like(DENSE)
    tokens[:, 5] = 7
    dense[5::T, 0] = 1.0
    assert (_choose(0, tokens, dense)[slot_groups(SPEC) == NEAR_GROUP] == EMPTY).all()


def test_a_latent_that_always_fires_has_no_zero_examples_and_a_dead_one_none_at_all():
    assert (_choose(2)[slot_groups(SPEC) == -1] == EMPTY).all()
    assert (_choose(1) == EMPTY).all()


def test_the_seed_decides_random_picks_alone():
    other = FeatureRunSpec.from_json({**SPEC.to_json(), "seed": 4})
    first, again, reseeded = _choose(2), _choose(2), _choose(2, spec=other)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:4], reseeded[:4])
    assert (first != reseeded).any()


def test_no_groups_and_no_silent_examples_leave_the_top():
    spec = FeatureRunSpec.from_json({**SPEC.to_json(), "quantile_groups": 0, "zero_examples": 0, "near_misses": 0})
    np.testing.assert_array_equal(_choose(0, spec=spec), _choose(0)[:4])


def test_what_a_latent_gets_does_not_depend_on_the_latents_it_is_worked_on_with():
    whole = _firings(DENSE)
    parts = [whole.part(0, 1), whole.part(1, 4), whole.part(4, 5)]
    np.testing.assert_array_equal(_choose_all(whole), np.concatenate([_choose_all(part) for part in parts]))


def test_windows_of_the_same_tokens_alone_have_the_same_fingerprint():
    tokens = np.random.default_rng(2).integers(0, 2, (40, T), dtype=np.int32)
    cutter = WindowCutter(tokens, np.full(len(tokens), T), 3, 1)
    centres = np.arange(tokens.size)
    windows, fingerprints = cutter.token_ids(centres), cutter.fingerprints(centres)
    is_same = (windows[:, None] == windows).all(-1)
    np.testing.assert_array_equal(fingerprints[:, None] == fingerprints, is_same)
