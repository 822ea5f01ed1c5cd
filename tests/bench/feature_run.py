"""What a feature run costs beside the language model, and beside the naive way to the same examples.

    OMP_NUM_THREADS=1 python -m tests.bench.feature_run [--model FOLDER] [--tokens 300000] [--case sae_part with_lm memory]

One JSON line for each case: CPU time (other work on the machine disturbs it little), medians of rounds in which all take turns.
`*_us` are microseconds a token, `dtypes` the precision of each side, read from its tensors. 4,608 latents, TopK 32, behind
block 15 of SmolLM2-135M (tests/bench/harvest.py says where it comes from).

    sae_part  `naive` keeps all activations of a part of the text, dense, then takes density, mean, maximum and the strongest 20
              contexts of each latent; `ours` encodes, keeps every firing on disk and describes all latents: statistics,
              histograms, examples in groups, near misses, top tokens, neighbours, scores. `encoder` is the product of all
              tokens with all latents in float32, as naive has it, `rough_encoder` the one that ours has, in `dtype`:
              `ratio_beyond_encoder` leaves each out of its own. `naive_describe` adds to
              naive the rest of what both can show of a latent, by plain NumPy one latent at a time: mean square, both
              histograms, top tokens, windows of the top and of the groups; `ratio_same_results` counts it. Silent windows,
              near misses, neighbours and scores are ours alone
    with_lm   the bare forward of the same model in the same precision, cut behind the layer, beside the whole run
    memory    peak of ours over `tokens` tokens, in a process of its own, files apart, beside the dense activations that naive
              keeps

Describing costs by the latent rather than by the token, so it is measured over firings of `tokens` tokens, made at random with
densities that spread over three decades, and shared out among them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.bench.harvest import CONTEXTS, D_SAE, ROUNDS, Bench, K, T, model_make, name_of, text_make
from workers.engine.datasets.contexts import Contexts
from workers.engine.features.describing import latents_describe
from workers.engine.features.firings import Firings
from workers.engine.features.reading import Reading, SaeFirings
from workers.engine.hooks.capture import capture
from workers.engine.language_models.loading import language_model_load
from workers.engine.precision import matmul_dtype_for
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.features import HISTOGRAM_BINS, LOG_BINS, LOG_DECADES, FeatureRunSpec
from workers.engine.specs.hook_site import HookSite

CASES = ("sae_part", "with_lm", "memory")
SITE = HookSite(layer=15, site="resid_post")
BATCH_CONTEXTS = 16
NAIVE_CONTEXTS = 128
NAIVE_EVERY = 72
"""`naive_describe` is measured on one latent of so many."""
NAIVE_LATENTS = D_SAE // NAIVE_EVERY
TOP = 20
SPEC = FeatureRunSpec(sae=1, tokenization=1, batch_contexts=BATCH_CONTEXTS)


def sae_make(mean_D: Tensor) -> Sae:
    """Random directions around the mean activation."""
    generator = torch.Generator().manual_seed(0)
    W_dec_FD = torch.nn.functional.normalize(torch.randn(D_SAE, len(mean_D), generator=generator), dim=-1)
    spec = EncodeSpec(
        architecture="topk", d_in=len(mean_D), d_sae=D_SAE, hook_site=SITE, k=K, apply_b_dec_to_input=True
    )
    return Sae(W_dec_FD.T.contiguous(), torch.zeros(D_SAE), W_dec_FD, mean_D, spec)


def contexts_of(tokens: np.ndarray, count: int) -> Contexts:
    """`count` contexts, the text over and over."""
    chosen = np.resize(tokens, (count, T)).astype(np.int32)
    return Contexts(tokens=chosen, first_row=np.arange(count), lengths=np.full(count, T))


def firings_make(folder: Path, contexts: Contexts) -> Firings:
    """Up to K latents at every position but the first of each context."""
    generator, firings = np.random.default_rng(0), Firings(folder, D_SAE)
    weights = np.exp(generator.normal(0, 1.5, D_SAE)).cumsum()
    for start in range(0, len(contexts), BATCH_CONTEXTS):
        positions = np.arange(start * T, min(start + BATCH_CONTEXTS, len(contexts)) * T)
        positions = positions[positions % T > 0]
        latents = np.sort(np.searchsorted(weights, generator.random((len(positions), K)) * weights[-1]))
        is_first = np.diff(latents, axis=1, prepend=-1) > 0
        place, _ = np.nonzero(is_first)
        firings.add(
            positions, place, latents[is_first], generator.exponential(size=len(place)).astype(np.float32) + 1e-3
        )
    return firings


def describe(folder: Path, sae: Sae, firings: Firings, contexts: Contexts, texts: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    latents_describe(SPEC, folder, contexts, SaeFirings(sae, firings, 20.0), texts, Progress())


def naive(sae: Sae, x_NTD: Tensor) -> None:
    """All activations kept, then reduced."""
    dense = torch.empty(len(x_NTD), T, D_SAE)
    for start in range(0, len(x_NTD), BATCH_CONTEXTS):
        part = x_NTD[start : start + BATCH_CONTEXTS]
        dense[start : start + len(part)] = sae.encode(part.flatten(0, 1)).view(len(part), T, D_SAE)
    flat = dense.flatten(0, 1)
    fired = (flat > 0).sum(0)
    flat.sum(0) / fired, flat.amax(0)
    dense.amax(1).topk(TOP, dim=0)


def naive_describe(dense_PF: np.ndarray, contexts: Contexts) -> None:
    """What `naive` leaves out, of each column."""
    tokens_P, random = contexts.tokens.reshape(-1), np.random.default_rng(0)
    reach = np.arange(-SPEC.window_before, SPEC.window_after + 1)
    for value_P in dense_PF.T[dense_PF.any(0)]:
        place_N = np.flatnonzero(value_P)
        value_N = value_P[place_N]
        np.square(value_N).sum() / len(value_P)
        np.histogram(value_N, HISTOGRAM_BINS, (0, value_N.max()))
        np.histogram(np.log10(value_N / value_N.max()), LOG_BINS, (-LOG_DECADES, 0))
        ids, token_N, counts = np.unique(tokens_P[place_N], return_inverse=True, return_counts=True)
        listed = np.argsort(-counts)[: SPEC.top_tokens]
        maxima = np.zeros(len(ids), np.float32)
        np.maximum.at(maxima, token_N, value_N)
        ids[listed], counts[listed], (np.bincount(token_N, value_N) / counts)[listed], maxima[listed]
        ranked = place_N[np.argsort(-value_N)]
        _, first = np.unique(ranked // T, return_index=True)
        group_N = np.digitize(value_N, np.linspace(0, value_N.max(), SPEC.quantile_groups + 1)[1:-1])
        of_groups = [place_N[group_N == group] for group in range(SPEC.quantile_groups)]
        picked = [
            random.choice(places, min(SPEC.quantile_examples, len(places)), replace=False) for places in of_groups
        ]
        for centre in np.concatenate([ranked[np.sort(first)[:TOP]], *picked]):
            window = (centre + reach).clip(centre // T * T, centre // T * T + T - 1)
            tokens_P[window], value_P[window]


def encode_and_keep(sae: Sae, x_NTD: Tensor, folder: Path) -> None:
    firings = Firings(folder, D_SAE)
    firings.clear()
    for start in range(0, len(x_NTD), BATCH_CONTEXTS):
        part = x_NTD[start : start + BATCH_CONTEXTS]
        latents = sae.encode_sparse(part.flatten(0, 1))
        positions = start * T + np.arange(part.shape[0] * T)
        firings.add(positions, latents.token_N.numpy(), latents.latent_N.numpy(), latents.value_N.numpy())


def seconds(works: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median CPU seconds of each, after a round to warm up."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if turn:
                found[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in found.items()}


class FeatureRunBench:
    """The model, its activations, an SAE, and firings to describe."""

    def __init__(self, scratch: Path, model_dir: Path, tokens: int) -> None:
        self.scratch, self.model_dir, self.tokens = scratch, model_dir, tokens
        self.text = text_make(model_dir, scratch / "text")
        self.model = language_model_load(model_dir, quantization="auto", lm_dtype="auto", device="cpu")
        self.x_NTD = self.activations(NAIVE_CONTEXTS)
        self.sae = sae_make(self.x_NTD[:, 1:].flatten(0, 1).mean(0))
        self.described = contexts_of(self.text, -(-tokens // T))
        self.firings = firings_make(scratch / "firings", self.described)
        self.texts = [f" word{number}" for number in range(self.model.config.vocab_size)]

    def activations(self, count: int) -> Tensor:
        ids = torch.from_numpy(np.resize(self.text, (count, T)).astype(np.int64))
        return torch.cat([capture(self.model, part, SITE).float() for part in ids.split(BATCH_CONTEXTS)])

    def describe_s(self) -> float:
        """CPU seconds for a token."""
        known = (self.scratch / "described", self.sae, self.firings, self.described, self.texts)
        return seconds({"describe": lambda: describe(*known)}, rounds=1)["describe"] / self.described.token_count

    def naive_describe_s(self) -> float:
        """CPU seconds for a token, from some of the latents."""
        dense_PF = np.zeros((self.described.tokens.size, NAIVE_LATENTS), np.float32)
        for latents in self.firings.by_latents():
            for latent in range(NAIVE_EVERY * -(-latents.start // NAIVE_EVERY), latents.stop, NAIVE_EVERY):
                positions, values = latents.of(latent)
                dense_PF[positions, latent // NAIVE_EVERY] = values
        took = seconds({"naive_describe": lambda: naive_describe(dense_PF, self.described)}, rounds=1)
        return took["naive_describe"] * NAIVE_EVERY / self.described.token_count

    def sae_part(self) -> dict[str, float]:
        flat, W_DF = self.x_NTD.flatten(0, 1), self.sae.W_enc
        self.dtypes = dict.fromkeys(("naive", "ours", "encoder"), name_of(flat.dtype))
        product = torch.empty(BATCH_CONTEXTS * T, D_SAE)
        dtype = matmul_dtype_for("cpu")
        rough_W_DF, rough_product = W_DF.to(dtype), product.to(dtype)
        found = seconds(
            {
                "naive": lambda: naive(self.sae, self.x_NTD),
                "encode_and_keep": lambda: encode_and_keep(self.sae, self.x_NTD, self.scratch / "kept"),
                "encoder": lambda: [torch.mm(part, W_DF, out=product) for part in flat.split(len(product))],
                "rough_encoder": lambda: [
                    torch.mm(part.to(dtype), rough_W_DF, out=rough_product) for part in flat.split(len(product))
                ],
            }
        )
        each = {name: took / len(flat) for name, took in found.items()} | {"describe": self.describe_s()}
        each["naive_describe"] = self.naive_describe_s()
        ours = each["encode_and_keep"] + each["describe"]
        return {
            **{f"{name}_us": 1e6 * took for name, took in each.items()},
            "ratio_vs_naive": each["naive"] / ours,
            "ratio_same_results": (each["naive"] + each["naive_describe"]) / ours,
            "ratio_beyond_encoder": (each["naive"] - each["encoder"]) / (ours - each["rough_encoder"]),
        }

    def with_lm(self) -> dict[str, float]:
        bare = Bench(self.model_dir, self.scratch, self.text, SITE.layer)
        cut, contexts = bare.cut("bare_cut", self.model.dtype), contexts_of(self.text, CONTEXTS)
        self.dtypes = {"reading": name_of(self.model.dtype), **bare.dtypes, "sae": name_of(self.sae.W_enc.dtype)}

        def read() -> None:
            with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
                Reading(SPEC, folder, self.model, [self.sae], contexts).run(Progress())

        found = seconds({"bare_cut": cut, "reading": read})
        each = {name: took / (CONTEXTS * T) for name, took in found.items()} | {"describe": self.describe_s()}
        whole = each["reading"] + each["describe"]
        return {
            **{f"{name}_us": 1e6 * took for name, took in each.items()},
            "tokens_per_s": 1 / whole,
            "bare_tokens_per_s": 1 / each["bare_cut"],
            "share_of_bare": each["bare_cut"] / whole,
        }


class AnonymousMemory:
    """Bytes of this process that no file backs, looked at every few milliseconds; result files are mapped and do not count."""

    def __init__(self) -> None:
        self.peak, self._ends = 0, threading.Event()
        self._before = self.now()
        self._thread = threading.Thread(target=self._watch)

    def now(self) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    def _watch(self) -> None:
        while not self._ends.wait(0.003):
            self.peak = max(self.peak, self.now() - self._before)

    def __enter__(self) -> "AnonymousMemory":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ends.set()
        self._thread.join()


def peak_bytes(tokens: int) -> int:
    """Of encoding random activations batch by batch, keeping what fires, and describing it, over what stood before."""
    generator = torch.Generator().manual_seed(0)
    sae, contexts = sae_make(torch.zeros(576)), contexts_of(np.arange(50_000), -(-tokens // T))
    texts, places = [f" word{number}" for number in range(50_000)], contexts.tokens.size
    with tempfile.TemporaryDirectory() as scratch, AnonymousMemory() as memory:
        firings = Firings(Path(scratch) / "firings", D_SAE)
        for start in range(0, len(contexts), BATCH_CONTEXTS):
            positions = np.arange(start * T, min((start + BATCH_CONTEXTS) * T, places))
            found = sae.encode_sparse(torch.randn(len(positions), 576, generator=generator))
            firings.add(positions, found.token_N.numpy(), found.latent_N.numpy(), found.value_N.numpy())
        describe(Path(scratch) / "described", sae, firings, contexts, texts)
    return memory.peak


def memory(tokens: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.feature_run", "--peak", "--tokens", str(tokens)]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    naive_bytes = tokens * D_SAE * 4
    return {"peak_mb": peak / 1e6, "naive_mb": naive_bytes / 1e6, "naive_over_ours": naive_bytes / peak}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokens", type=int, default=300_000)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_bytes(options.tokens))
        return
    with tempfile.TemporaryDirectory() as scratch:

        @cache
        def bench() -> FeatureRunBench:
            return FeatureRunBench(Path(scratch), options.model or model_make(Path(scratch) / "model"), options.tokens)

        for case in options.case:
            measured = memory(options.tokens) if case == "memory" else getattr(bench(), case)()
            dtypes = {"ours": "float32", "naive": "float32"} if case == "memory" else bench().dtypes
            found = {key: float(f"{value:.4g}") for key, value in measured.items()}
            known = {"tokens": options.tokens, "dtypes": dtypes, "d_sae": D_SAE, "threads": torch.get_num_threads()}
            known["rough"] = str(matmul_dtype_for("cpu")).removeprefix("torch.")
            print(json.dumps({"bench": "feature_run", "case": case, **known, **found}), flush=True)


if __name__ == "__main__":
    main()
