"""Trainer: one optimiser step after another on any TrainingSae, and its whole state as tensors.

It knows the contract of saes/base.py and nothing of what is inside an architecture. It reads no clock, and nothing from
the device except where `metrics`, `bad_step` and a resampling do.

Shapes: B tokens, D d_in, E d_out, F d_sae.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from workers.engine.saes.base import Batch, StepContext
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.schedule import learning_rate_at
from workers.engine.specs.training import TrainSpec
from workers.engine.training.firing import Firing
from workers.engine.training.log_window import LogWindow
from workers.engine.training.micro_batches import gradient_fill
from workers.engine.training.resampling import latent_vectors, resample, resampling_due


class Trainer:
    """Weights, Adam, counters and running metrics of one SAE. `spec` is a member's: nothing in it is swept."""

    def __init__(
        self, spec: TrainSpec, d_in: int, d_out: int | None = None, *, device: str, matmul_dtype: torch.dtype
    ) -> None:
        self.spec = spec
        self.sae = training_sae_class(spec.architecture)(spec, d_in, d_out, device=device, matmul_dtype=matmul_dtype)
        weights = self.sae.weights
        self.optimizer = torch.optim.Adam(
            [weights], betas=(spec.adam_beta1, spec.adam_beta2), eps=spec.adam_eps, fused=True
        )
        self._set_adam(torch.zeros((), device=device), torch.zeros_like(weights), torch.zeros_like(weights))
        self._average = None if spec.weight_average_decay is None else torch.zeros_like(weights)
        self._latent_start = latent_vectors(self.sae) if spec.dead_latents == "resample" else {}
        self.firing = Firing(spec.d_sae, spec.dead_after_tokens, device)
        self.window = LogWindow(self.sae.LOSSES, self.sae.REPORTED, device)
        self.steps_done = 0
        self.resampled = 0
        """Latents that the newest step started again."""
        self._first_bad_step = torch.tensor(-1, device=device)

    @property
    def tokens_seen(self) -> int:
        return self.steps_done * self.spec.batch_size

    def step(self, batch: Batch, micro_batch_size: int | None = None) -> None:
        """One update from a normalised batch, in pieces of `micro_batch_size` tokens (None: whole).

        When memory runs out nothing has changed: the step can be tried again with smaller pieces.
        """
        step, tokens = self.steps_done, len(batch.x_BD)
        context = StepContext(step=step, dead_F=self._dead())
        out = gradient_fill(self.sae, batch, context, micro_batch_size or tokens)
        grad_norm = self._clip()
        rate = learning_rate_at(step, self.spec)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._shrink(rate * self.spec.weight_decay)
        self.optimizer.step()
        self.sae.after_update(context)
        if self._average is not None:
            self._average.lerp_(self.sae.weights, 1 - self.spec.weight_average_decay)
        self.firing.add(out.fired_F, tokens, step)
        self.window.add(batch, out, grad_norm)
        is_fine = out.loss.isfinite() & grad_norm.isfinite() | (self._first_bad_step >= 0)
        self._first_bad_step = torch.where(is_fine, self._first_bad_step, step)
        self.steps_done += 1
        self._resample(batch)

    def averaged_weights(self) -> Tensor | None:
        """The exponential average of the weights after each step, flat; None when none is kept.

        The average began at 0 and is divided by the share of weights it has seen, as Adam does with its moments.
        """
        if self._average is None or self.steps_done == 0:
            return None
        return self._average / (1 - self.spec.weight_average_decay**self.steps_done)

    def metrics(self) -> dict[str, float]:
        """Means over the window, and where things stand. Waits for the device."""
        return self.window.means() | {
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
        average = {} if self._average is None else {"weight_average": self._average}
        return {
            "weights": self.sae.weights,
            "adam_step": adam["step"],
            "adam_exp_avg": adam["exp_avg"],
            "adam_exp_avg_sq": adam["exp_avg_sq"],
            **average,
            **{f"kept.{name}": tensor for name, tensor in self.sae.kept.items()},
            **self.firing.tensors(),
            **self.window.tensors(),
        }

    def load(self, tensors: dict[str, Tensor], steps_done: int) -> None:
        """Go on from what `tensors` returned after `steps_done` steps."""
        device = self.sae.weights.device
        self.sae.weights.copy_(tensors["weights"])
        self._set_adam(*(tensors[f"adam_{name}"].to(device) for name in ("step", "exp_avg", "exp_avg_sq")))
        if self._average is not None:
            self._average.copy_(tensors["weight_average"])
        for name, kept in self.sae.kept.items():
            kept.copy_(tensors[f"kept.{name}"])
        self.firing.load(tensors)
        self.window.load(tensors)
        self.steps_done = steps_done

    def _dead(self) -> Tensor | None:
        """What the step shall know of dead latents: nothing when nothing is to be done about them."""
        return None if self.spec.dead_latents == "none" else self.firing.dead(self.tokens_seen)

    def _resample(self, batch: Batch) -> None:
        self.resampled = 0
        if not resampling_due(self.steps_done, self.spec):
            return
        dead_F = self.firing.dead(self.tokens_seen)
        if dead_F is not None:
            adam = self.optimizer.state[self.sae.weights]
            moments = (adam["exp_avg"], adam["exp_avg_sq"])
            self.resampled = resample(self.sae, dead_F, batch, self._latent_start, moments, self.steps_done)
        if self.resampled:
            self.firing.begin_again(dead_F)

    def _set_adam(self, step: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor) -> None:
        self.optimizer.state[self.sae.weights] = {"step": step, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}

    @torch.no_grad()
    def _shrink(self, share: float) -> None:
        """Weight decay apart from the gradient (AdamW). Biases and thresholds are no lengths to shrink, and a decoder that is
        held stays as it is."""
        if share == 0:
            return
        self.sae.parameters.W_enc.mul_(1 - share)
        if self.spec.decoder == "trained":
            self.sae.parameters.W_dec.mul_(1 - share)

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
