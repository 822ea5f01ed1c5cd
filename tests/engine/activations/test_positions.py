"""Which positions are included."""

import torch

from workers.engine.activations.positions import included_positions


def test_position_0_and_norms_above_the_threshold_are_out():
    norms_BT = torch.tensor([[1.0, 2.0, 3.0], [9.0, 3.1, 0.5]])
    assert included_positions(norms_BT, 3.0).tolist() == [[False, True, True], [False, False, True]]


def test_activations_are_measured_by_their_euclidean_norm():
    x_BTD = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [3.0, 4.1]]])
    assert included_positions(x_BTD, 5.0).tolist() == [[False, True, False]]


def test_without_a_threshold_only_position_0_is_out():
    assert included_positions(torch.full((2, 3), 1e30), None).tolist() == [[False, True, True]] * 2


def test_norms_of_half_precision_do_not_overflow():
    x_BTD = torch.full((1, 2, 4), 6e4, dtype=torch.float16)
    assert included_positions(x_BTD, 2e5).tolist() == [[False, True]]
