"""Means of the training metrics between two points of the charts, summed on the device and read once.

Shapes: B tokens, D d_in, F d_sae.
"""

import torch
from torch import Tensor

from workers.engine.metrics import FvuMeter
from workers.engine.saes.base import StepOutput


class LogWindow:
    """Sums since the last point: one float64 vector of scalars, and an FvuMeter."""

    def __init__(self, loss_names: tuple[str, ...], device: str | torch.device) -> None:
        self.names = ("loss", *loss_names, "l0", "grad_norm")
        self.device = device
        self.clear()

    def clear(self) -> None:
        self.steps = 0
        self.sums = torch.zeros(len(self.names), dtype=torch.float64, device=self.device)
        self.fvu = FvuMeter()

    def add(self, x_BD: Tensor, out: StepOutput, grad_norm: Tensor) -> None:
        l0 = out.fired_F.sum() / len(x_BD)
        self.steps += 1
        self.sums += torch.stack([out.loss, *out.losses.values(), l0, grad_norm]).double()
        self.fvu.add_error(x_BD, out.losses["mse"] * len(x_BD))

    def means(self) -> dict[str, float]:
        """The mean of each metric over the window, and its FVU."""
        means = (self.sums / self.steps).tolist()
        return dict(zip(self.names, means)) | {"fvu": self.fvu.value()}

    def tensors(self) -> dict[str, Tensor]:
        kept = {"window_steps": torch.tensor(self.steps), "window_sums": self.sums}
        if self.fvu.sums is not None:
            kept |= {"window_fvu_sums": self.fvu.sums, "window_fvu_shift": self.fvu.shift_D}
        return kept

    def load(self, tensors: dict[str, Tensor]) -> None:
        self.clear()
        self.steps = int(tensors["window_steps"])
        self.sums = tensors["window_sums"].to(self.device)
        if "window_fvu_sums" in tensors:
            self.fvu.sums = tensors["window_fvu_sums"].to(self.device)
            self.fvu.shift_D = tensors["window_fvu_shift"].to(self.device)
