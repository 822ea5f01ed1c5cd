"""Activation caches and runs made on the spot for tests of training."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from workers.engine.activations.cache import NUMBERS_NAME, SHARD_NAME, STATISTICS_NAME, ActivationCache
from workers.engine.datasets.contexts import contexts_write
from workers.engine.progress import Progress
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.specs.activations import ActivationCacheResult
from workers.engine.specs.training import TRANSCODERS, TrainInputs, TrainSpec

D_IN, D_SAE, TOKENS = 16, 48, 2_000
HELD_OUT = 500
AUTOENCODERS = sorted(set(TRAINING_SAES) - set(TRANSCODERS))
"""What any cache can train; transcoders need one of pairs."""


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


def cache_write(folder: Path, x: torch.Tensor, targets: torch.Tensor | None = None) -> Path:
    """A cache folder of the activations x (tokens, d_in), in three shards, as activation caching leaves it.

    `targets` (tokens, d_out) make it one of pairs. The first HELD_OUT tokens, or all, stand as held out too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"activations": x.bfloat16()} | ({} if targets is None else {"targets": targets.bfloat16()})
    rows = -(-len(x) // 3)
    for number, start in enumerate(range(0, len(x), rows)):
        shard = {name: part[start : start + rows].clone() for name, part in kept.items()}
        save_file(shard, folder / SHARD_NAME.format(number))
    save_file({name: part[:HELD_OUT].clone() for name, part in kept.items()}, folder / "held-out.safetensors")
    names = {"activations": "mean", "targets": "target_mean"}
    save_file({names[name]: part.float().mean(0) for name, part in kept.items()}, folder / STATISTICS_NAME)
    (folder / NUMBERS_NAME).write_text(json.dumps(asdict(_numbers(kept))))
    return folder


def _numbers(kept: dict[str, torch.Tensor]) -> ActivationCacheResult:
    norms = {name: part.float().norm(dim=1).mean().item() for name, part in kept.items()}
    x, targets = kept["activations"], kept.get("targets")
    return ActivationCacheResult(
        tokens=len(x),
        tokens_run=len(x),
        contexts=1,
        first_positions=0,
        sink_tokens=0,
        sink_threshold=77.0,
        median_norm=15.4,
        mean_norm=norms["activations"],
        d_in=x.shape[1],
        lm_dtype="float32",
        tokens_per_s=1.0,
        bytes=1,
        activations_sha256=hashlib.sha256(x.view(torch.int16).numpy().tobytes()).hexdigest(),
        d_out=None if targets is None else targets.shape[1],
        target_mean_norm=norms.get("targets"),
        held_out_tokens=min(HELD_OUT, len(x)),
    )


def cached(folder: Path) -> torch.Tensor:
    """All activations of a cache (tokens, d_in) in float32."""
    cache = ActivationCache.open(folder)
    return cache.rows(torch.arange(cache.tokens)).float()


def random_activations() -> torch.Tensor:
    """(TOKENS, D_IN), some dimensions wider than others, none centred."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(TOKENS, D_IN, generator=generator) * torch.linspace(0.5, 4, D_IN) + 2


def random_cache(folder: Path) -> Path:
    """A cache for autoencoders."""
    return cache_write(folder, random_activations())


def random_pairs(folder: Path) -> Path:
    """A cache for transcoders: targets are a clipped linear map of the activations."""
    x = random_activations()
    mixing = torch.randn(D_IN, D_IN, generator=torch.Generator().manual_seed(6)) / D_IN**0.5
    return cache_write(folder, x, (x @ mixing).relu() + 1)


def spec(architecture: str = "topk", **options) -> TrainSpec:
    """A run of a second: 30 steps of 64 tokens, a checkpoint every 10, a point of the charts every 5."""
    small = {"d_sae": D_SAE, "k": 4, "steps": 30, "batch_size": 64, "checkpoint_every": 10, "log_every": 5}
    # a short life for silent latents, so that AuxK works in these runs
    small |= {"dead_after_tokens": 256, "learning_rate": 3e-3, "sparsity_warmup_steps": 5}
    if options.get("source", "cache") == "cache":
        small["activation_cache"] = 1
    return TrainSpec(architecture=architecture, **small | options)


def inputs(folder: Path, cache: Path, job: str = "job", **known) -> TrainInputs:
    """Folders of a run of its own below `folder`."""
    out = folder / f"{job}-out"
    out.mkdir(parents=True, exist_ok=True)
    is_paired = json.loads((cache / NUMBERS_NAME).read_text())["d_out"] is not None
    site = "3.mlp_in" if is_paired else "3.resid_post"
    usual = {"cache_dir": str(cache), "hook_site": site, "sink_threshold": 77.0}
    return TrainInputs(job_dir=str(folder / job), out_dir=str(out), **usual | known)


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


def sae_folder(where: TrainInputs, member: int = 0) -> Path:
    """Where a run left one of its SAEs."""
    return Path(where.out_dir) / f"sae-{member:02d}"


def weights(where: TrainInputs, member: int = 0) -> dict[str, torch.Tensor]:
    """The finished weights of one SAE."""
    return load_file(sae_folder(where, member) / "sae_weights.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Bit-identical."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def text_write(folder: Path, *, seed: int = 0, contexts: int = 80, context_length: int = 24) -> Path:
    """A tokenization of random ids: 80 contexts to train on and 12 held out, a few of them shorter than the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for part, count in (("train", contexts), ("heldout", 12)):
        lengths = random.choice([context_length - 5, context_length], count)
        tokens = random.integers(2, 400, (count, context_length))
        contexts_write(folder, part, tokens, np.arange(count), lengths)
    return folder


def text_spec(architecture: str = "topk", **options) -> TrainSpec:
    """The run of `spec`, on text: a shuffle buffer of the smallest size is filled three times in 30 steps."""
    site = "1.mlp_in" if architecture in TRANSCODERS else "1.resid_post"
    text = {"source": "text", "language_model": 1, "tokenization": 1, "hook_sites": (site,), "buffer_tokens": 1024}
    text |= {"lm_dtype": "float32", "ce_contexts": 0, "batch_contexts": 8}
    return spec(architecture, **text | options)


def text_inputs(folder: Path, model: Path, *texts: Path, job: str = "job", **known) -> TrainInputs:
    """Folders of a run on text."""
    out = folder / f"{job}-out"
    out.mkdir(parents=True, exist_ok=True)
    return TrainInputs(
        job_dir=str(folder / job),
        out_dir=str(out),
        model_dir=str(model),
        tokenization_dirs=tuple(map(str, texts)),
        **known,
    )
