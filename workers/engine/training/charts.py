"""Points of the charts: what each SAE of a run is told to be doing, every log_every steps.

Means over the steps since the last point, except: dead_share (now), learning_rate (of the newest step), L1 (on a sample of
the newest batch), time_s (of all attempts, pauses left out), the histogram of densities (over the last 500 to 1,000 steps,
every HISTOGRAM_EVERY points), and CE and KL recovered (on held-out contexts, at checkpoints).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workers.engine.metrics import density, density_histogram
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import Member
from workers.engine.training.memory import MEMORY_ERRORS, is_out_of_memory, used_bytes
from workers.engine.training.run import Run
from workers.engine.training.splice_check import SpliceCheck
from workers.engine.training.symptoms import Symptoms

HISTOGRAM_EVERY = 10


class Charts:
    """Tells the points of a run, and measures its speed between them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told_at, self._told_step = time.monotonic(), run.steps_done
        self._spliced_step = -1
        self._symptoms = Symptoms(run.spec, run.progress)
        self._splice_check = None
        with self._survived():
            self._splice_check = SpliceCheck.open(run.spec, run.inputs, run.source)

    def tell(self, *, with_recovered: bool = False) -> None:
        """One point for each member, and a new window for the next."""
        self._tell(with_recovered=with_recovered)
        for trainer in self._run.trainers:
            trainer.window.clear()
        self._told_at, self._told_step = time.monotonic(), self._run.steps_done

    def tell_recovered(self) -> None:
        """A point with CE and KL recovered at a checkpoint that lies between two points; the window goes on."""
        if self._splice_check and 0 < self._run.steps_done != self._spliced_step:
            self._tell(with_recovered=True)

    def _tell(self, *, with_recovered: bool) -> None:
        run = self._run
        tokens = (run.steps_done - self._told_step) * run.spec.batch_size
        shared = {
            "tokens_per_s": tokens / max(time.monotonic() - self._told_at, 1e-9),
            "device_bytes": used_bytes(run.inputs.device),
            "time_s": round(run.seconds, 3),
        }
        for member in run.members:
            trainer = run.trainers[member.index]
            if trainer.window.steps:
                run.last_metrics[member.index] = {"l1": _l1(run, member)} | trainer.metrics() | shared
            if with_recovered:
                run.last_metrics[member.index] |= self._recovered(member)
            histogram = {"density_histogram": _histogram(run, member)} if self._is_histogram_due() else {}
            values = run.last_metrics[member.index] | histogram
            run.progress.metrics(run.steps_done, member=member.index, **values)
        self._symptoms.look(run.steps_done, run.members, run.last_metrics)

    def _recovered(self, member: Member) -> dict[str, float]:
        """CE and KL recovered, {} where they are not measured."""
        if self._splice_check is None:
            return {}
        self._spliced_step = self._run.steps_done
        with self._survived():
            return self._splice_check.measure(self._run.sae(member))
        return {}

    @contextmanager
    def _survived(self) -> Iterator[None]:
        """What keeps CE from being measured is told, and training goes on without."""
        try:
            yield
            return
        except EngineError as error:
            reason = error.message
        except MEMORY_ERRORS as error:
            if not is_out_of_memory(error):
                raise
            reason = "memory ran out."
        self._splice_check = None
        self._run.progress.event(f"CE and KL recovered are left out: {reason}", level="warning")

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
