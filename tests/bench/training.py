"""How long one training step takes, beside SAELens with every switch it offers: fp32 and autocast, in one process.

    OMP_NUM_THREADS=1 python -m tests.bench.training [d_sae] [batch]

The clock is CPU time of the process, which other work on the machine disturbs little; rounds are interleaved and the
median is printed. Activations are random: a step's cost does not depend on what they mean. SAELens' compile switch is
left out (it needs a C++ compiler and half a minute). AuxK is measured apart, with a tenth of the latents dead.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from sae_lens import StandardTrainingSAE, StandardTrainingSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput

from workers.engine.precision import matmul_dtype_for
from workers.engine.specs.training import TrainSpec
from workers.engine.training.trainer import Trainer, denormals_flushed

D_IN, K, ROUNDS = 576, 32, 5
Step = Callable[[], None]


def our_step(architecture: str, d_sae: int, x_BD: torch.Tensor, dtype: torch.dtype, dead_F: torch.Tensor) -> Step:
    """One whole step of the trainer: gradients, clipping, Adam, counters, metrics."""
    spec = TrainSpec(activation_cache=1, architecture=architecture, d_sae=d_sae, k=K, batch_size=len(x_BD))
    trainer = Trainer(spec, D_IN, device="cpu", matmul_dtype=dtype)
    trainer.firing.dead = lambda tokens_seen: dead_F if dead_F.any() else None
    return lambda: trainer.step(x_BD)


def saelens_step(architecture: str, d_sae: int, x_BD: torch.Tensor, autocast: bool, dead_F: torch.Tensor) -> Step:
    """What SAELens' trainer does in a step, logging aside."""
    if architecture == "topk":
        sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=D_IN, d_sae=d_sae, k=K))
    else:
        sae = StandardTrainingSAE(StandardTrainingSAEConfig(d_in=D_IN, d_sae=d_sae))
    optimizer = torch.optim.Adam(sae.parameters(), lr=3e-4)
    known = {"coefficients": {"l1": 1.0}, "n_training_steps": 0, "is_logging_step": False}

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            out = sae.training_forward_pass(TrainStepInput(sae_in=x_BD, dead_neuron_mask=dead_F, **known))
            with torch.no_grad():
                fired = out.feature_acts.bool().float()
                fired.sum(-2).bool()
                fired.sum(0)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def medians(steps: dict[str, Step]) -> dict[str, float]:
    """Median CPU milliseconds of each, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(times[1:]) for name, times in seconds.items()}


def main(d_sae: int = 4608, batch: int = 4096) -> None:
    x_BD = torch.randn(batch, D_IN, generator=torch.Generator().manual_seed(0))
    fast = matmul_dtype_for("cpu")
    for name, architecture, dead in (
        ("topk", "topk", 0.0),
        ("topk + AuxK", "topk", 0.1),
        ("standard", "standard", 0.0),
    ):
        dead_F = torch.arange(d_sae) < dead * d_sae
        steps = {
            "ours float32": our_step(architecture, d_sae, x_BD, torch.float32, dead_F),
            f"ours as run ({fast})": our_step(architecture, d_sae, x_BD, fast, dead_F),
            "SAELens": saelens_step(architecture, d_sae, x_BD, False, dead_F),
            "SAELens autocast": saelens_step(architecture, d_sae, x_BD, True, dead_F),
        }
        print(f"{name}: d_in {D_IN}, d_sae {d_sae}, batch {batch}, {torch.get_num_threads()} threads")
        with denormals_flushed():
            measured = medians(steps)
        for what, milliseconds in measured.items():
            print(f"  {what:<32}{milliseconds:9.0f} ms {1000 * batch / milliseconds:12,.0f} tokens/s")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
