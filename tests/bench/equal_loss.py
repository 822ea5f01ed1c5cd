"""Do our faster steps learn as much? Held-out FVU beside SAELens' after equal steps.

    OMP_NUM_THREADS=1 python -m tests.bench.equal_loss [--steps 300] [--arch topk batchtopk] [--model FOLDER]

Same first weights (b_dec at the mean activation, where a training of ours starts), same batches, learning rate 1e-3, Adam,
clipping at 1; a latent is dead after 20 silent steps, so that latents die and AuxK works. Activations are SmolLM2's at block
15 (tests/bench/harvest.py says where it comes from), normalised, without first positions and sink tokens, for both: a pool
of 16 batches in memory, read in turn, and held-out contexts for the FVU.

One JSON line for each architecture. `ratio` is our FVU over SAELens'; both choose k latents a token on the held-out tokens
(BatchTopK: on average over them). `dead_share` and the share of steps in which AuxK worked are given for both, and
CPU seconds. SAELens takes some seconds a step on one thread: 300 steps are a matter of 20 minutes and more.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from tests.bench.harvest import D_SAE, K, model_make, text_make
from tests.interop.rival import give_weights
from tests.truth.race import Course, Ours, Theirs
from workers.engine.metrics import FvuMeter
from workers.engine.precision import matmul_dtype_for
from workers.engine.progress import Progress
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.sources import source_open
from workers.engine.training.trainer import denormals_flushed

BATCH, POOL_BATCHES, LAYER = 4096, 16, 15
DEAD_AFTER_STEPS = 20


def activations(model_dir: Path, folder: Path, batch: int, pool_batches: int) -> tuple[list[Tensor], Tensor]:
    """Batches to learn from and held-out activations, as a training of ours on text sees them."""
    text_make(model_dir, folder)
    spec = TrainSpec(
        source="text", language_model=1, tokenization=1, hook_sites=(f"{LAYER}.resid_post",), batch_size=batch,
        buffer_tokens=pool_batches * batch, batch_contexts=8, steps=pool_batches,
    )  # fmt: skip
    where = TrainInputs(
        job_dir=str(folder), out_dir=str(folder), model_dir=str(model_dir), tokenization_dirs=(str(folder),)
    )
    source = source_open(spec, where, Progress())
    return [source.batches(step)[0].x_BD for step in range(pool_batches)], source.held_out(0).x_BD


class Runner:
    """One side of the comparison, with what it costs."""

    def __init__(self, side: Ours | Theirs) -> None:
        self.side, self.seconds, self.steps, self.revived_steps = side, 0.0, 0, 0

    def step(self, x_BD: Tensor) -> None:
        self.revived_steps += self.dead_share() > 0
        start = time.process_time()
        self.side.step(x_BD)
        self.seconds += time.process_time() - start
        self.steps += 1

    def dead_share(self) -> float:
        trainer = self.side.trainer
        return (
            trainer.firing.dead_share() if isinstance(self.side, Ours) else trainer.dead_neurons.float().mean().item()
        )

    def report(self, held_out_BD: Tensor, folder: Path) -> dict[str, float]:
        meter, sae = FvuMeter(), self.side.finished(held_out_BD, folder)
        with torch.no_grad():
            meter.add(held_out_BD, sae(held_out_BD))
        return {
            "fvu": meter.value(),
            "dead_share": self.dead_share(),
            "aux_share_of_steps": self.revived_steps / self.steps,
            "cpu_s": self.seconds,
        }


def compare(architecture: str, batches: list[Tensor], held_out_BD: Tensor, steps: int, folder: Path) -> dict:
    """Both trainings in turn, step by step."""
    course = Course(d_sae=D_SAE, steps=steps, batch_size=len(batches[0]), dead_after_steps=DEAD_AFTER_STEPS)
    spec, d_in = course.spec(architecture, k=K), batches[0].shape[1]
    mean_D = torch.stack([x_BD.mean(0) for x_BD in batches]).mean(0)
    ours, theirs = Ours(spec, d_in, mean_D, matmul_dtype_for("cpu")), Theirs(spec, d_in)
    give_weights(ours.trainer.sae, theirs.sae)
    runners = {"ours": Runner(ours), "saelens": Runner(theirs)}
    with denormals_flushed():
        for step in range(steps):
            for runner in runners.values():
                runner.step(batches[step % len(batches)])
    found = {who: runner.report(held_out_BD, folder / f"{architecture}-{who}") for who, runner in runners.items()}
    return {
        "bench": "equal_loss",
        "arch": architecture,
        "steps": steps,
        "batch": len(batches[0]),
        "d_sae": D_SAE,
        "d_in": d_in,
        "k": K,
        "held_out_tokens": len(held_out_BD),
        "dtype": str(ours.trainer.sae.matmul_dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "ratio": found["ours"]["fvu"] / found["saelens"]["fvu"],
        **{who: {key: float(f"{value:.5g}") for key, value in each.items()} for who, each in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--arch", nargs="+", default=["topk", "batchtopk"], choices=["topk", "batchtopk", "matryoshka"])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--batch", type=int, default=BATCH)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model_dir = options.model or model_make(Path(scratch) / "model")
        batches, held_out_BD = activations(model_dir, Path(scratch) / "text", options.batch, POOL_BATCHES)
        for architecture in options.arch:
            print(json.dumps(compare(architecture, batches, held_out_BD, options.steps, Path(scratch))), flush=True)


if __name__ == "__main__":
    main()
