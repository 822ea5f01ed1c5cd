"""Worlds whose truth is known: sparse features, each with a direction, whose sum is the activation (`sae_lens.synthetic`).

MINI is the world of SAELens' own benchmark, smaller: features fire by Zipf's law, some only below a parent, siblings never
together, magnitudes vary, and there are four times as many features as an SAE has latents. SMALL is the same for a minute's
test.

Shapes: B tokens, D d_in, E d_out, G features of the world.
"""

import contextlib
import io
from collections.abc import Iterator
from functools import cache

import torch
from sae_lens.synthetic import FoldedNormalMagnitudeConfig, LinearMagnitudeConfig, ZipfianFiringProbabilityConfig
from sae_lens.synthetic.hierarchy import HierarchyConfig
from sae_lens.synthetic.synthetic_model import (
    LowRankCorrelationConfig,
    OrthogonalizationConfig,
    SyntheticModel,
    SyntheticModelConfig,
)
from torch import Tensor

from workers.engine.saes.base import Batch

MEAN_TOKENS = 16_384
"""The mean activation is measured on so many, apart from those of the training."""


def _config(features: int, d_in: int, roots: int, max_prob: float, min_prob: float) -> SyntheticModelConfig:
    return SyntheticModelConfig(
        num_features=features,
        hidden_dim=d_in,
        firing_probability=ZipfianFiringProbabilityConfig(exponent=0.5, max_prob=max_prob, min_prob=min_prob),
        hierarchy=HierarchyConfig(
            total_root_nodes=roots,
            branching_factor=4,
            max_depth=2,
            mutually_exclusive_portion=1.0,
            compensate_probabilities=True,
            scale_children_by_parent=True,
        ),
        orthogonalization=OrthogonalizationConfig(num_steps=100, lr=3e-4),
        correlation=LowRankCorrelationConfig(rank=6, correlation_scale=0.1),
        mean_firing_magnitudes=LinearMagnitudeConfig(start=5.0, end=4.0),
        std_firing_magnitudes=FoldedNormalMagnitudeConfig(mean=0.5, std=0.5),
        bias=0.5,
        seed=42,
    )


MINI = _config(features=512, d_in=64, roots=8, max_prob=0.4, min_prob=4e-3)
SMALL = _config(features=64, d_in=32, roots=2, max_prob=0.25, min_prob=2e-2)


class World:
    """Endless activations. `seed` decides which; the world itself stays the same."""

    def __init__(self, config: SyntheticModelConfig) -> None:
        # it draws a progress bar that nothing switches off
        with contextlib.redirect_stderr(io.StringIO()):
            self.model = SyntheticModel(config)
        self.d_in = config.hidden_dim
        self.features_GD = self.model.feature_dict.feature_vectors.detach()
        """The directions that are to be found."""

    def batches(self, steps: int, batch_size: int, seed: int) -> Iterator[Tensor]:
        """`steps` batches (B, D)."""
        for features_BG in self.firings(steps, batch_size, seed):
            yield self.activations(features_BG)

    def firings(self, steps: int, batch_size: int, seed: int) -> Iterator[Tensor]:
        """What fires behind each of the same batches, and how strongly: (B, G)."""
        # the generator knows only the global state of the random numbers: each stream keeps its own between batches
        state = torch.Generator().manual_seed(seed).get_state()
        for _ in range(steps):
            with torch.random.fork_rng():
                torch.set_rng_state(state)
                features_BG = self.model.activation_generator.sample(batch_size)
                state = torch.get_rng_state()
            yield features_BG

    @torch.no_grad()
    def activations(self, features_BG: Tensor) -> Tensor:
        return self.model.feature_dict(features_BG)

    @property
    def mean_D(self) -> Tensor:
        """The mean activation, from tokens that no training sees."""
        (x_BD,) = self.batches(1, MEAN_TOKENS, seed=2**31)
        return x_BD.mean(0)


class PairedWorld(World):
    """Activations x (B, D) and answers y (B, E), for transcoders: every feature that fires has a direction in both.

    The directions answered are random; `linear` > 0 adds a linear map of those read, so many times their variance.
    """

    def __init__(self, config: SyntheticModelConfig, d_out: int, linear: float = 0.0) -> None:
        super().__init__(config)
        generator = torch.Generator().manual_seed(7)
        answers_GE = torch.randn(config.num_features, d_out, generator=generator)
        self.answers_GE = answers_GE / answers_GE.norm(dim=1, keepdim=True)
        self.linear_DE = torch.randn(self.d_in, d_out, generator=generator) * (linear / self.d_in) ** 0.5
        self.answers_GE += self.features_GD @ self.linear_DE
        """What each feature adds to the answer: the directions that a transcoder's decoder is to find."""

    def pairs(self, steps: int, batch_size: int, seed: int) -> Iterator[Batch]:
        for features_BG in self.firings(steps, batch_size, seed):
            x_BD = self.activations(features_BG)
            yield Batch(x_BD, features_BG @ self.answers_GE)


@cache
def world(name: str) -> World:
    """MINI or SMALL, made once."""
    return World({"mini": MINI, "small": SMALL}[name])
