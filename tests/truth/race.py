"""Trainings side by side on the same batches of a world: ours by our Trainer, SAELens' by its own.

All start from the same weights. SAELens starts b_dec at 0; ours move it to the mean activation where that is long
(saes/base.py says why). So ours run twice: "ours" from 0 like SAELens, which shows whether we learn the same, and "ours from
the mean", which shows what that start changes. Neither normalises. Learning rate, Adam, clipping at 1, and the steps after
which a latent is dead are equal.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from sae_lens import SAE
from torch import Tensor

from tests.interop.rival import give_weights, rival_of, rival_step, rival_trainer
from tests.truth.scores import as_saelens
from tests.truth.worlds import World
from workers.engine.saes.base import Batch
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec
from workers.engine.training.trainer import Trainer, denormals_flushed

SITE = HookSite(layer=0, site="resid_post")
HELD_OUT_TOKENS = 16_384


@dataclass(frozen=True)
class Course:
    """How long every training of a race is, and how wide its SAEs."""

    d_sae: int
    steps: int
    batch_size: int = 512
    learning_rate: float = 1e-3
    dead_after_steps: int = 1_001

    def spec(self, architecture: str, seed: int = 0, **options) -> TrainSpec:
        """As SAELens trains: constant learning rate, nothing normalised, coefficients warmed up over 5 % of the steps."""
        return TrainSpec(
            activation_cache=1,
            architecture=architecture,
            seed=seed,
            d_sae=self.d_sae,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            lr_decay="constant",
            normalize_activations="none",
            sparsity_warmup_steps=self.steps // 20,
            dead_after_tokens=self.dead_after_steps * self.batch_size,
            **options,
        )


class Ours:
    """One of our SAEs in training."""

    def __init__(
        self, spec: TrainSpec, d_in: int, mean_D: Tensor | None = None, matmul_dtype: torch.dtype = torch.float32
    ) -> None:
        self.trainer = Trainer(spec, d_in, device="cpu", matmul_dtype=matmul_dtype)
        if mean_D is not None:
            self.trainer.sae.center(mean_D)

    def step(self, x_BD: Tensor) -> None:
        self.trainer.step(Batch(x_BD, x_BD))

    def finished(self, held_out_BD: Tensor, folder: Path) -> SAE:
        """As a training ends: thresholds calibrated on held-out activations, written in SAELens' format, read by it."""
        assert self.trainer.bad_step() is None
        self.trainer.sae.calibrate(held_out_BD)
        return as_saelens(self.trainer.sae.finished(1.0, SITE, None), folder)


class Theirs:
    """SAELens' SAE of the same Spec in training."""

    def __init__(self, spec: TrainSpec, d_in: int) -> None:
        self.sae = rival_of(spec, d_in)
        give_weights(training_sae_class(spec.architecture)(spec, d_in), self.sae)
        self.trainer = rival_trainer(self.sae, spec)

    def step(self, x_BD: Tensor) -> None:
        rival_step(self.trainer, x_BD)

    def finished(self, held_out_BD: Tensor, folder: Path) -> SAE:
        """As SAELens' own runner measures: BatchTopK and Matryoshka choose k a token over each batch, without a threshold."""
        return self.sae


def race(world: World, runners: dict[str, Ours | Theirs], course: Course, folder: Path, *, seed: int) -> dict[str, SAE]:
    """Train all on one stream; the finished SAEs by the runners' names."""
    with denormals_flushed():
        for x_BD in world.batches(course.steps, course.batch_size, seed):
            for runner in runners.values():
                runner.step(x_BD)
    (held_out_BD,) = world.batches(1, HELD_OUT_TOKENS, seed=2**31 + 2)
    return {name: runner.finished(held_out_BD, folder / name) for name, runner in runners.items()}


def both(name: str, spec: TrainSpec, world: World) -> dict[str, Ours | Theirs]:
    """Ours and SAELens', from the same weights."""
    return {f"ours {name}": Ours(spec, world.d_in), f"saelens {name}": Theirs(spec, world.d_in)}
