"""Activation caches and runs made on the spot for tests of training."""

import json
from pathlib import Path

import torch

from workers.engine.activations.cache import NUMBERS_NAME, ActivationCache
from workers.engine.activations.shards import ShardWriter
from workers.engine.progress import Progress
from workers.engine.specs.activations import ActivationCacheResult
from workers.engine.specs.training import TrainInputs, TrainSpec

D_IN, D_SAE, TOKENS = 16, 48, 2_000


def dictionary_activations(
    features: int = 64, d_in: int = 32, tokens: int = 20_000, l0: float = 3.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """A world whose truth is known: sparse positive mixtures of unit vectors. Returns (tokens, d_in), (features, d_in)."""
    generator = torch.Generator().manual_seed(seed)
    truth_FD = torch.randn(features, d_in, generator=generator)
    truth_FD /= truth_FD.norm(dim=1, keepdim=True)
    fires = torch.rand(tokens, features, generator=generator) < l0 / features
    strength = 1 + torch.rand(tokens, features, generator=generator)
    return (fires * strength) @ truth_FD, truth_FD


def cache_write(folder: Path, x: torch.Tensor) -> Path:
    """A cache folder of the activations x (tokens, d_in), in three shards, as activation caching leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(folder, x.shape[1], shard_bytes=-(-len(x) // 3) * x.shape[1] * 2)
    writer.add(x)
    writer.close()
    numbers = ActivationCacheResult(
        tokens=writer.tokens,
        tokens_run=writer.tokens,
        contexts=1,
        first_positions=0,
        sink_tokens=0,
        sink_threshold=77.0,
        median_norm=15.4,
        mean_norm=writer.mean_norm,
        d_in=x.shape[1],
        lm_dtype="float32",
        tokens_per_s=1.0,
        bytes=1,
        activations_sha256=writer.sha256,
    )
    (folder / NUMBERS_NAME).write_text(json.dumps(numbers.to_json()))
    return folder


def cached(folder: Path) -> torch.Tensor:
    """All activations of a cache (tokens, d_in) in float32."""
    cache = ActivationCache.open(folder)
    return cache.rows(torch.arange(cache.tokens)).float()


def random_cache(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(TOKENS, D_IN, generator=generator) * torch.linspace(0.5, 4, D_IN) + 2
    return cache_write(folder, x)


def spec(architecture: str = "topk", **options) -> TrainSpec:
    small = {"d_sae": D_SAE, "k": 4, "steps": 30, "batch_size": 64, "checkpoint_every": 10, "log_every": 5}
    # a short life for silent latents, so that AuxK works in these runs
    small |= {"dead_after_tokens": 256, "learning_rate": 3e-3, "l1_warmup_steps": 5}
    return TrainSpec(activation_cache=1, architecture=architecture, **small | options)


def inputs(folder: Path, cache: Path, job: str = "job", **known) -> TrainInputs:
    out = folder / f"{job}-out"
    out.mkdir(parents=True, exist_ok=True)
    return TrainInputs(
        job_dir=str(folder / job),
        out_dir=str(out),
        cache_dir=str(cache),
        hook_site="3.resid_post",
        sink_threshold=77.0,
        **known,
    )


class Wishing(Progress):
    """Wishes `wish` once `at` steps are done, until it is granted."""

    def __init__(self, wish: str, at: int) -> None:
        super().__init__()
        self._wish_text, self._at, self.granted = wish, at, []

    def wish(self):
        stands = self._name == "training" and self._done >= self._at and not self.granted
        return self._wish_text if stands else None

    def wish_done(self, wish):
        self.granted.append(wish)

    def of(self, kind: str) -> list[dict]:
        return [line for line in self.lines if line["t"] == kind]
