"""Transcoders and Skip SAEs on worlds of their own: what their decoders find, beside a random decoder on the same batches.

A transcoder's world has two directions for each feature, one read and one answered. A skip transcoder's answers a dense
linear map of x besides. A Skip SAE's world has a few dense directions beside the features, for its linear path to carry.
"""

from pathlib import Path

import pytest
import torch
from sae_lens import SAE
from sae_lens.evals import ExplainedVarianceCalculator
from sae_lens.synthetic.synthetic_model import SyntheticModelConfig
from torch import Tensor

from tests.truth.race import Course
from tests.truth.scores import as_saelens, mcc
from tests.truth.worlds import SMALL, PairedWorld
from workers.engine.saes.base import Batch
from workers.engine.specs.hook_site import HookSite
from workers.engine.training.trainer import Trainer, denormals_flushed

COURSE = Course(d_sae=48, steps=1_200, batch_size=256, learning_rate=3e-3)
D_OUT = 24
OPTIONS = {
    "transcoder": {"l1_coefficient": 2.0},
    "skip_transcoder": {"l1_coefficient": 0.8},
    "skip": {"l1_coefficient": 2.0, "skip_rank": 2},
}


class DenseWorld(PairedWorld):
    """x itself is the answer: features, and two directions along which every sample varies widely."""

    def __init__(self, config: SyntheticModelConfig) -> None:
        super().__init__(config, config.hidden_dim)
        self.answers_GE = self.features_GD

    def pairs(self, steps, batch_size, seed):
        generator = torch.Generator().manual_seed(seed)
        dense_2D = torch.randn(2, self.d_in, generator=torch.Generator().manual_seed(8)) * (2 / self.d_in) ** 0.5
        for batch in super().pairs(steps, batch_size, seed):
            x_BD = batch.x_BD + 2 * torch.randn(batch_size, 2, generator=generator) @ dense_2D
            yield Batch(x_BD, x_BD)


WORLDS = {
    "transcoder": lambda: PairedWorld(SMALL, D_OUT),
    "skip_transcoder": lambda: PairedWorld(SMALL, D_OUT, linear=0.2),
    "skip": lambda: DenseWorld(SMALL),
}


def trained(world: PairedWorld, architecture: str, folder: Path) -> dict[str, SAE]:
    """A trained one, and one whose decoder stays random, from the same batches, as SAELens reads them."""
    (first,) = world.pairs(1, 8_192, seed=2**31)
    trainers = {}
    for decoder in ("trained", "random"):
        spec = COURSE.spec(architecture, decoder=decoder, **OPTIONS[architecture])
        trainers[decoder] = Trainer(spec, world.d_in, first.y_BE.shape[1], device="cpu", matmul_dtype=torch.float32)
        trainers[decoder].sae.center(first.x_BD.mean(0), first.y_BE.mean(0))
    with denormals_flushed():
        for batch in world.pairs(COURSE.steps, COURSE.batch_size, seed=0):
            for trainer in trainers.values():
                trainer.step(batch)
    site = HookSite(layer=0, site="resid_post" if architecture == "skip" else "mlp_in")
    return {
        decoder: as_saelens(trainer.sae.finished(1.0, site, None), folder / decoder)
        for decoder, trainer in trainers.items()
    }


@torch.no_grad()
def explained(sae: SAE, world: PairedWorld) -> float:
    """Explained variance of the answers, by SAELens' formula, on unseen samples."""
    calculator = ExplainedVarianceCalculator()
    for batch in world.pairs(1, 8_192, seed=1):
        calculator.add_batch(sae(batch.x_BD), batch.y_BE)
    return calculator.compute()


@torch.no_grad()
def left_to_latents(sae: SAE, world: PairedWorld) -> Tensor:
    """(G, E): what each feature adds to the answer, less what the linear path already says of it."""
    answers_GE = world.answers_GE
    return answers_GE - world.features_GD @ sae.W_skip.T if hasattr(sae, "W_skip") else answers_GE


@pytest.mark.slow
@pytest.mark.parametrize("architecture", OPTIONS)
def test_a_trained_decoder_finds_the_answers_directions_where_a_random_one_does_not(architecture, tmp_path):
    world = WORLDS[architecture]()
    saes = trained(world, architecture, tmp_path)
    found, floor = (mcc(sae.W_dec, left_to_latents(sae, world)) for sae in (saes["trained"], saes["random"]))
    ev, control_ev = (explained(saes[decoder], world) for decoder in ("trained", "random"))
    print(f"{architecture}: MCC {found:.3f}, random {floor:.3f}; EV {ev:.3f}, random {control_ev:.3f}")
    assert found > floor + 0.2
    assert 1 - ev < 0.6 * (1 - control_ev)
