"""Points of the charts: what each SAE of a run is told to be doing, every log_every steps.

Means over the steps since the last point, except: dead_share (now), learning_rate (of the newest step), L1 (on a sample of
the newest batch), the histogram of densities (over the last 500 to 1,000 steps, every HISTOGRAM_EVERY points).
"""

import time

import torch

from workers.engine.metrics import density, density_histogram
from workers.engine.specs.training import Member
from workers.engine.training.memory import used_bytes
from workers.engine.training.run import Run

HISTOGRAM_EVERY = 10


class Charts:
    """Tells the points of a run, and measures its speed between them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told_at, self._told_step = time.monotonic(), run.steps_done

    def tell(self) -> None:
        """One point for each member."""
        run, now = self._run, time.monotonic()
        tokens = (run.steps_done - self._told_step) * run.spec.batch_size
        shared = {
            "tokens_per_s": tokens / max(now - self._told_at, 1e-9),
            "device_bytes": used_bytes(run.inputs.device),
        }
        self._told_at, self._told_step = now, run.steps_done
        for member in run.members:
            metrics = run.trainers[member.index].metrics()
            metrics.setdefault("l1", _l1(run, member))
            run.last_metrics[member.index] = metrics | shared
            histogram = {"density_histogram": _histogram(run, member)} if self._is_histogram_due() else {}
            run.progress.metrics(run.steps_done, member=member.index, **metrics, **shared, **histogram)

    def _is_histogram_due(self) -> bool:
        run = self._run
        return run.steps_done % (HISTOGRAM_EVERY * run.spec.log_every) == 0 or run.steps_done == run.spec.steps


def _l1(run: Run, member: Member) -> float:
    """mean_B Σ_i f_i on a sample, latents in the gauge of unit decoder rows, activations normalised."""
    factor = run.site(member).factor
    x_BD = run.trainers[member.index].window.sample_BD.cpu()
    if not len(x_BD):
        return 0.0
    with torch.no_grad():
        latents = run.sae(member).encode_sparse(x_BD / factor)
    return latents.value_N.double().sum().item() * factor / len(x_BD)


def _histogram(run: Run, member: Member) -> list[int]:
    return list(density_histogram(density(*run.trainers[member.index].firing.recent())))
