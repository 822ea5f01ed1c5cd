"""Trainer: one optimiser step after another on any TrainingSae, and its whole state as tensors.

It knows the contract of saes/base.py and nothing of what is inside an architecture. It reads no clock, and nothing from
the device except where `metrics` and `check_finite` say so.

Shapes: B tokens, D d_in.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from workers.engine.saes.base import StepContext
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.training import TrainSpec
from workers.engine.training.firing import Firing
from workers.engine.training.log_window import LogWindow
from workers.engine.training.schedule import learning_rate_at


class Trainer:
    """Weights, Adam, counters and running metrics of one run."""

    def __init__(self, spec: TrainSpec, d_in: int, *, device: str, matmul_dtype: torch.dtype) -> None:
        self.spec = spec
        self.sae = training_sae_class(spec.architecture)(spec, d_in, device=device, matmul_dtype=matmul_dtype)
        self.optimizer = torch.optim.Adam([self.sae.weights], betas=(spec.adam_beta1, spec.adam_beta2), fused=True)
        self._set_adam(
            torch.zeros((), device=device), torch.zeros_like(self.sae.weights), torch.zeros_like(self.sae.weights)
        )
        self.firing = Firing(spec.d_sae, spec.dead_after_tokens, device)
        self.window = LogWindow(self.sae.LOSSES, device)
        self.steps_done = 0
        self._first_bad_step = torch.tensor(-1, device=device)

    @property
    def tokens_seen(self) -> int:
        return self.steps_done * self.spec.batch_size

    def step(self, x_BD: Tensor) -> None:
        """One update from the normalised batch (B, D)."""
        step = self.steps_done
        out = self.sae.step(x_BD, StepContext(step=step, dead_F=self.firing.dead(self.tokens_seen)))
        grad_norm = self._clip()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(step, self.spec)
        self.optimizer.step()
        self.firing.add(out.fired_F, len(x_BD), step)
        self.window.add(x_BD, out, grad_norm)
        is_fine = out.loss.isfinite() & grad_norm.isfinite() | (self._first_bad_step >= 0)
        self._first_bad_step = torch.where(is_fine, self._first_bad_step, step)
        self.steps_done += 1

    def metrics(self) -> dict[str, float]:
        """Means since the last call, and where things stand; begins a new window. Waits for the device."""
        means = self.window.means()
        self.window.clear()
        return means | {
            "dead_share": self.firing.dead_share(),
            "learning_rate": learning_rate_at(self.steps_done - 1, self.spec),
            "tokens": self.tokens_seen,
        }

    def bad_step(self) -> int | None:
        """The first step whose loss or gradient was not finite. Waits for the device."""
        step = int(self._first_bad_step)
        return None if step < 0 else step

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides the steps to come."""
        adam = self.optimizer.state[self.sae.weights]
        return {
            "weights": self.sae.weights,
            "adam_step": adam["step"],
            "adam_exp_avg": adam["exp_avg"],
            "adam_exp_avg_sq": adam["exp_avg_sq"],
            **self.firing.tensors(),
            **self.window.tensors(),
        }

    def load(self, tensors: dict[str, Tensor], steps_done: int) -> None:
        """Go on from what `tensors` returned after `steps_done` steps."""
        device = self.sae.weights.device
        self.sae.weights.copy_(tensors["weights"])
        self._set_adam(*(tensors[f"adam_{name}"].to(device) for name in ("step", "exp_avg", "exp_avg_sq")))
        self.firing.load(tensors)
        self.window.load(tensors)
        self.steps_done = steps_done

    def _set_adam(self, step: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor) -> None:
        self.optimizer.state[self.sae.weights] = {"step": step, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}

    def _clip(self) -> Tensor:
        """The gradient's norm before it is cut to clip_grad_norm."""
        if self.spec.clip_grad_norm is None:
            return self.sae.weights.grad.norm()
        return clip_grad_norm_([self.sae.weights], self.spec.clip_grad_norm)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Treat denormal numbers as 0 inside the block: moments of Adam that fade to them slow it down several times."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
