"""Who fires: which latents are dead, and how often each fired over the last steps.

Shapes: F d_sae.
"""

import torch
from torch import Tensor

HALF_WINDOW_STEPS = 500
"""Densities come from two halves, so that they always cover the last 500 to 1000 steps (all of them in a short run)."""


class Firing:
    """Counters of a training run, on its device."""

    def __init__(self, d_sae: int, dead_after_tokens: int, device: str | torch.device) -> None:
        self.dead_after_tokens = dead_after_tokens
        zeros = torch.zeros(d_sae, dtype=torch.long, device=device)
        self.silent_tokens_F = zeros.clone()
        """Tokens since each latent fired, in whole batches."""
        self.fired_F, self.fired_before_F = zeros.clone(), zeros.clone()
        self.tokens = torch.zeros(2, dtype=torch.long)
        """Tokens behind fired_F and fired_before_F."""

    def dead(self, tokens_seen: int) -> Tensor | None:
        """True for dead latents; None, without asking the device, while too few tokens were seen for any."""
        return self.silent_tokens_F >= self.dead_after_tokens if tokens_seen >= self.dead_after_tokens else None

    def dead_share(self) -> float:
        return (self.silent_tokens_F >= self.dead_after_tokens).double().mean().item()

    def add(self, fired_F: Tensor, tokens: int, step: int) -> None:
        """Count one batch of `tokens`; `step` counts from 0."""
        if step and step % HALF_WINDOW_STEPS == 0:
            self.fired_before_F, self.fired_F = self.fired_F, torch.zeros_like(self.fired_F)
            self.tokens = torch.tensor([0, self.tokens[0]])
        self.silent_tokens_F = torch.where(fired_F > 0, 0, self.silent_tokens_F + tokens)
        self.fired_F += fired_F
        self.tokens[0] += tokens

    def begin_again(self, latents_F: Tensor) -> None:
        """Latents that were made anew have a whole life before them."""
        self.silent_tokens_F = self.silent_tokens_F.masked_fill(latents_F, 0)

    def recent(self) -> tuple[Tensor, int]:
        """How often each latent fired over the last steps (F,), and on how many tokens."""
        return self.fired_F + self.fired_before_F, int(self.tokens.sum())

    def tensors(self) -> dict[str, Tensor]:
        return {
            "silent_tokens": self.silent_tokens_F,
            "fired": self.fired_F,
            "fired_before": self.fired_before_F,
            "fired_tokens": self.tokens,
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        device = self.fired_F.device
        self.silent_tokens_F = tensors["silent_tokens"].to(device)
        self.fired_F, self.fired_before_F = tensors["fired"].to(device), tensors["fired_before"].to(device)
        self.tokens = tensors["fired_tokens"]
