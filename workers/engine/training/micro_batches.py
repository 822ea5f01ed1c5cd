"""A batch in pieces: the gradient of the whole, from pieces that fit into memory.

Losses are means over tokens, so the gradient of a batch is the mean of its pieces' gradients, each weighted by its tokens.
That is the whole batch's gradient up to rounding, except where a loss looks at the batch as a whole: BatchTopK and
Matryoshka choose latents, and JumpReLU's quadratic loss counts L0, within the piece.

Shapes: B tokens of the batch, F d_sae.
"""

import torch
from torch import Tensor

from workers.engine.saes.base import Batch, StepContext, StepOutput, TrainingSae
from workers.engine.specs.training import TrainSpec

SMALLEST = 8
"""Tokens; a piece is never made smaller."""


def gradient_fill(sae: TrainingSae, batch: Batch, context: StepContext, micro_batch_size: int) -> StepOutput:
    """Fill `sae.weights.grad` from `batch`, `micro_batch_size` tokens at a time.

    When memory runs out, `sae.kept` is as it was before.
    """
    kept = {name: tensor.clone() for name, tensor in sae.kept.items()}
    try:
        if micro_batch_size >= len(batch.x_BD):
            return sae.step(batch, context)
        return _accumulate(sae, batch, context, micro_batch_size)
    except (RuntimeError, MemoryError):
        for name, tensor in kept.items():
            sae.kept[name].copy_(tensor)
        raise


def batch_pieces(batch: Batch, size: int) -> list[Batch]:
    """The batch cut into pieces of `size` tokens; the last may be smaller. An autoencoder's y stays its x."""
    x_pieces = batch.x_BD.split(size)
    if batch.y_BE is batch.x_BD:
        return [Batch(x, x) for x in x_pieces]
    return [Batch(x, y) for x, y in zip(x_pieces, batch.y_BE.split(size))]


def chooses_within_pieces(spec: TrainSpec) -> str:
    """Which part of the loss looks at the piece instead of the whole batch, in words; "" when none does."""
    if spec.architecture in ("batchtopk", "matryoshka"):
        return "latents are chosen within each piece"
    if spec.architecture == "jumprelu" and spec.l0_loss == "quadratic":
        return "L0 is compared with its target within each piece"
    return ""


def _accumulate(sae: TrainingSae, batch: Batch, context: StepContext, size: int) -> StepOutput:
    gradient, outputs = torch.zeros_like(sae.weights), []
    for piece in batch_pieces(batch, size):
        out = sae.step(piece, context)
        share = len(piece.x_BD) / len(batch.x_BD)
        gradient.add_(sae.weights.grad, alpha=share)
        outputs.append((share, out))
    sae.weights.grad.copy_(gradient)
    return _combined(outputs)


def _combined(outputs: list[tuple[float, StepOutput]]) -> StepOutput:
    """What the whole batch tells: losses and reports averaged by tokens, firings added up."""

    def mean(values: list[Tensor]) -> Tensor:
        return sum(share * value for (share, _), value in zip(outputs, values))

    first = outputs[0][1]
    return StepOutput(
        loss=mean([out.loss for _, out in outputs]),
        losses={name: mean([out.losses[name] for _, out in outputs]) for name in first.losses},
        fired_F=torch.stack([out.fired_F for _, out in outputs]).sum(0),
        reported={name: mean([out.reported[name] for _, out in outputs]) for name in first.reported},
    )
