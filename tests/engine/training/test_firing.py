"""Dead latents and recent densities against counting by hand."""

import torch

from workers.engine.training import firing as firing_module
from workers.engine.training.firing import Firing


def test_a_latent_is_dead_after_so_many_silent_tokens_and_alive_again_when_it_fires():
    firing = Firing(3, dead_after_tokens=20, device="cpu")
    for step in range(2):
        assert firing.dead(tokens_seen=10 * step) is None
        firing.add(torch.tensor([5, 0, 0]), 10, step)
    assert firing.dead(tokens_seen=20).tolist() == [False, True, True]
    firing.add(torch.tensor([0, 1, 0]), 10, 2)
    assert firing.dead(tokens_seen=30).tolist() == [False, False, True]
    assert firing.dead_share() == 1 / 3


def test_recent_firings_cover_between_half_a_window_and_a_whole_one(monkeypatch):
    monkeypatch.setattr(firing_module, "HALF_WINDOW_STEPS", 4)
    firing = Firing(1, dead_after_tokens=20, device="cpu")
    for step in range(11):
        firing.add(torch.tensor([step]), 10, step)
    fired, tokens = firing.recent()
    assert tokens == 70  # steps 4 to 10
    assert fired.item() == sum(range(4, 11))


def test_counters_survive_their_tensors():
    firing, again = Firing(2, 5, "cpu"), Firing(2, 5, "cpu")
    firing.add(torch.tensor([1, 0]), 8, 0)
    again.load(firing.tensors())
    assert torch.equal(again.silent_tokens_F, torch.tensor([0, 8]))
    assert again.recent()[1] == 8
