"""The worlds are those of the protocol, and their streams repeat."""

import pytest
import torch

from tests.truth.scores import mcc
from tests.truth.worlds import world


def test_the_mini_world_is_that_of_the_protocol():
    """True L0 8.1, of the 128 most frequent features 4.9; a random decoder's MCC is .39."""
    mini = world("mini")
    (features_BG,) = mini.firings(1, 20_000, seed=3)
    density_G = (features_BG > 0).double().mean(0).sort(descending=True).values
    assert density_G.sum().item() == pytest.approx(8.1, abs=0.15)
    assert density_G[:128].sum().item() == pytest.approx(4.9, abs=0.1)
    floor = mcc(torch.randn(128, 64, generator=torch.Generator().manual_seed(1)), mini.features_GD)
    assert floor == pytest.approx(0.39, abs=0.02)


def test_a_seed_repeats_its_stream_whatever_is_drawn_between():
    small = world("small")
    stream, again = small.batches(3, 16, seed=5), []
    first = list(small.batches(3, 16, seed=5))
    for x_BD in stream:
        again.append(x_BD)
        torch.randn(7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], next(small.batches(1, 16, seed=6)))
