"""Means of the training metrics between two points of the charts, summed on the device and read once.

Shapes: B tokens, D d_in, E d_out, F d_sae.
"""

import torch
from torch import Tensor

from workers.engine.metrics import FvuMeter, explained_variance
from workers.engine.saes.base import Batch, StepOutput

METRIC_NAMES = ("l0", "l1")
"""Numbers of their own: a loss term of the same name is told as l0_loss, l1_loss."""
SAMPLE_TOKENS = 128
"""Tokens of the newest batch on which L1 is measured."""


def term_name(name: str) -> str:
    """How a loss term is called in the charts."""
    return f"{name}_loss" if name in METRIC_NAMES else name


class LogWindow:
    """Sums since the last point: one float64 vector of scalars, and an FvuMeter."""

    def __init__(self, loss_names: tuple[str, ...], reported: tuple[str, ...], device: str | torch.device) -> None:
        self._loss_names, self._reported, self.device = loss_names, reported, device
        self.names = ("loss", *map(term_name, loss_names), "l0", "grad_norm", *reported)
        self.sample_BD = torch.zeros(0, device=device)
        """Normalised activations from the newest batch."""
        self.clear()

    def clear(self) -> None:
        self.steps = 0
        self.sums = torch.zeros(len(self.names), dtype=torch.float64, device=self.device)
        self.fvu = FvuMeter()

    def add(self, batch: Batch, out: StepOutput, grad_norm: Tensor) -> None:
        tokens = len(batch.x_BD)
        terms = [out.losses[name] for name in self._loss_names]
        reported = [out.reported[name] for name in self._reported]
        self.steps += 1
        self.sums += torch.stack([out.loss, *terms, out.fired_F.sum() / tokens, grad_norm, *reported]).double()
        self.fvu.add_error(batch.y_BE, out.losses["mse"] * tokens)
        self.sample_BD = batch.x_BD[:SAMPLE_TOKENS].clone()

    def means(self) -> dict[str, float]:
        """The mean of each metric over the window, its FVU and explained variance."""
        means = (self.sums / self.steps).tolist()
        fvu = self.fvu.value()
        return dict(zip(self.names, means)) | {"fvu": fvu, "explained_variance": explained_variance(fvu)}

    def tensors(self) -> dict[str, Tensor]:
        kept = {
            "window_steps": torch.tensor(self.steps),
            "window_sums": self.sums,
            "window_sample": self.sample_BD,
        }
        if self.fvu.sums is not None:
            kept |= {"window_fvu_sums": self.fvu.sums, "window_fvu_shift": self.fvu.shift_D}
        return kept

    def load(self, tensors: dict[str, Tensor]) -> None:
        self.clear()
        self.steps = int(tensors["window_steps"])
        self.sums = tensors["window_sums"].to(self.device)
        self.sample_BD = tensors["window_sample"].to(self.device)
        if "window_fvu_sums" in tensors:
            self.fvu.sums = tensors["window_fvu_sums"].to(self.device)
            self.fvu.shift_D = tensors["window_fvu_shift"].to(self.device)
