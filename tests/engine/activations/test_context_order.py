"""Mixing, as properties: what a round holds, in which proportion, and what a text's own order is."""

import numpy as np
import pytest

from workers.engine.activations.context_order import ContextOrder

SIZES = ((7,), (10, 3), (1, 50, 9), (100, 100), (5, 0, 8))


def drawn(order, rounds):
    """Contexts of some rounds as (text, context)."""
    return [tuple(row) for number in range(rounds) for row in order.round(number).tolist()]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("mixing", ["sequential", "interleaved"])
@pytest.mark.parametrize("seed", [None, 0, 3])
def test_every_context_comes_once_in_a_round(sizes, mixing, seed):
    order = ContextOrder(sizes, mixing=mixing, seed=seed)
    everything = [(text, context) for text, size in enumerate(sizes) for context in range(size)]
    for number in range(3):
        assert sorted(map(tuple, order.round(number).tolist())) == everything
    assert order.is_whole


def test_sequential_reads_one_text_after_the_other():
    texts = ContextOrder((10, 3, 5), mixing="sequential", seed=1).round(2)[:, 0]
    assert texts.tolist() == [0] * 10 + [1] * 3 + [2] * 5


@pytest.mark.parametrize("sizes", [(10, 3), (1, 50, 9), (100, 100)])
def test_interleaved_keeps_the_proportion_in_every_stretch(sizes):
    texts = ContextOrder(sizes, seed=0).round(0)[:, 0]
    for text, size in enumerate(sizes):
        seen = (texts == text).cumsum()
        expected = np.arange(1, len(texts) + 1) * size / len(texts)
        assert np.abs(seen - expected).max() <= len(sizes)


@pytest.mark.parametrize("sizes, weights", [((100, 100), (3, 1)), ((20, 300, 50), (1, 1, 2)), ((10, 9), (1, 3))])
def test_weighted_draws_in_the_proportion_of_the_weights(sizes, weights):
    order = ContextOrder(sizes, mixing="weighted", weights=weights, seed=0)
    texts = order.round(0)[:, 0]
    shares = np.bincount(texts, minlength=len(sizes)) / len(texts)
    assert np.allclose(shares, np.array(weights) / sum(weights), atol=1.5 / len(texts))
    assert any(quota == size for quota, size in zip(order.quotas, sizes))


def test_weighted_reads_all_of_a_text_before_any_of_it_again():
    order = ContextOrder((4, 30), mixing="weighted", weights=(1, 1), seed=2)
    contexts = [context for text, context in drawn(order, 15) if text == 1]
    assert len(contexts) == 60
    assert sorted(contexts[:30]) == sorted(contexts[30:]) == list(range(30))
    assert not order.is_whole


def test_without_a_seed_contexts_come_as_they_lie():
    assert ContextOrder((5,)).round(3)[:, 1].tolist() == list(range(5))


def test_seed_and_round_decide_the_order_alone():
    def order(seed, number):
        return ContextOrder((40, 40), seed=seed).round(number).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    first = np.array(order(1, 0))
    assert (first[first[:, 0] == 0, 1] != first[first[:, 0] == 1, 1]).any()  # texts of one size are shuffled apart
