"""Numbers that are not finite: where they came up first, and the error that says so.

Looking costs the device nothing to wait for: each step marks its first bad row on the device, and `check_finite` reads the
marks when a point of the charts or a checkpoint is due. No checkpoint is ever written behind a bad step.

Shapes: B tokens of the batch.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from workers.engine.saes.base import Batch
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import Member
from workers.engine.training.checkpoints import checkpoint_latest
from workers.engine.training.sources import Source
from workers.engine.training.trainer import Trainer

NOT_FINITE = "activations_not_finite"
ACTIVATIONS_HINT = "Read the activations again, with float32 as the language model's precision."


class RowWatch:
    """The first (step, row) of one hook site's batches that holds NaN or infinity."""

    def __init__(self, device: str) -> None:
        self._first = torch.tensor([-1, -1], device=device)

    def add(self, step: int, batch: Batch) -> None:
        """Look at one batch; a sum is not finite where one of its terms is not."""
        sums_B = batch.x_BD.sum(-1)
        if batch.y_BE is not batch.x_BD:
            sums_B = sums_B + batch.y_BE.sum(-1)
        bad_B = sums_B.isfinite().logical_not()
        here = torch.stack([torch.full_like(self._first[0], step), bad_B.int().argmax()])
        is_first = bad_B.any() & (self._first[0] < 0)
        self._first = torch.where(is_first, here, self._first)

    def found(self) -> tuple[int, int] | None:
        """(step, row), both from 0. Waits for the device."""
        step, row = self._first.tolist()
        return None if step < 0 else (step, row)


def check_finite(
    source: Source,
    watches: Sequence[RowWatch],
    members: Sequence[Member],
    trainers: Sequence[Trainer],
    checkpoints: Path,
) -> None:
    """Raise when a step since the last check met or made numbers that are not finite; earlier checkpoints stay."""
    for site, watch in enumerate(watches):
        if (found := watch.found()) is not None:
            step, row = found
            raise activations_not_finite(
                f"The activations of step {step + 1} hold NaN or infinity ({_place(source, site, step, row)}).",
                checkpoints,
            )
    for member, trainer in zip(members, trainers):
        if (step := trainer.bad_step()) is not None:
            which = f" of {member.key}" if len(members) > 1 else ""
            raise EngineError(
                f"The loss{which} was not finite at step {step + 1}. {last_good(checkpoints)}",
                "Choose a smaller learning rate or a warm-up, and clip the gradient.",
                code="loss_not_finite",
            )


def activations_not_finite(message: str, checkpoints: Path) -> EngineError:
    """`message` with what is left: the last good checkpoint."""
    return EngineError(f"{message} {last_good(checkpoints)}", ACTIVATIONS_HINT, code=NOT_FINITE)


def last_good(checkpoints: Path) -> str:
    """A sentence on the checkpoint that stays."""
    kept = checkpoint_latest(checkpoints)
    return f"The last good checkpoint is that of step {kept.step}." if kept else "There is no checkpoint before it."


def _place(source: Source, site: int, step: int, row: int) -> str:
    """Which token it was, as far as the source knows."""
    return source.origin(site, step, row) or f"row {row} of the batch"
