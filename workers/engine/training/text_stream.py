"""Batches of activations harvested while a training goes on.

Blocks of contexts (blocks.py) are served one after the other; a batch that a block cannot fill goes on with the next one.
While one block is served the next is harvested, a few forward passes before each batch, so that no step waits for a whole
block. A text that fits into one block is harvested once.

Everything follows from (seed, round, block, row), so a checkpoint holds these places alone: after `go_to` the block that was
being served is harvested again, and on the CPU the same batches come out to the bit.

Shapes: B tokens of the batch, D width of a site.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workers.engine.specs.errors import EngineError
from workers.engine.training.blocks import Block, Blocks

Between = Callable[[int, int], None]


class TextStream:
    """Rows for every captured site. `steps` × `batch_size` of them are all that will be asked for."""

    def __init__(
        self, blocks: Blocks, widths: tuple[int, ...], *, batch_size: int, steps: int, device: str = "cpu"
    ) -> None:
        self._blocks, self._widths, self._device = blocks, widths, device
        self._batch_size, self._rows_wanted = batch_size, steps * batch_size
        self._batch = self._buffers(batch_size)
        self._spare: tuple[Tensor, ...] | None = None
        """Buffers of the block before, for the next one."""
        self._now: Block | None = None
        self._next: Block | None = None
        self._place = (0, 0, 0, 0)

    def batch(self, between: Between = lambda done, total: None) -> tuple[Tensor, ...]:
        """The next rows (B, D) in bfloat16 for each site, valid until the next call.

        Fills the first block when there is none; before each of its forward passes `between` is called with (passes done,
        passes in all), and what that raises leaves the stream where it was.
        """
        if self._now is None:
            self._now = self._filled_now(between)
        done = 0
        while done < self._batch_size:
            if not self._now.left:
                self._turn()
            done += self._serve(self._now, done)
        self._harvest_ahead(self._now)
        return self._batch

    def place(self) -> Tensor:
        """Where the next batch begins, (4,) int64."""
        if self._now is not None:
            now = self._now
            self._place = (now.round, now.number, now.cursor, now.served_before)
        return torch.tensor(self._place)

    def go_to(self, place: Tensor) -> None:
        """Go on at what `place` returned; the block there is harvested when the next batch is asked for."""
        self._place = tuple(place.tolist())
        self._now = self._next = self._spare = None

    def _filled_now(self, between: Between) -> Block:
        round_, number, cursor, served_before = self._place
        block = self._blocks.begin(round_, number, served_before, self._buffers(self._blocks.capacity))
        total = block.passes_left
        while block.order_P is None:
            between(total - block.passes_left, total)
            self._blocks.advance(block)
        block.cursor = cursor
        return block

    def _serve(self, block: Block, done: int) -> int:
        """Fill the batch from row `done` on with what `block` still has; returns how many rows."""
        count = min(self._batch_size - done, block.left)
        chosen = block.order_P[block.cursor : block.cursor + count]
        for buffer, out in zip(block.buffers, self._batch):
            torch.index_select(buffer, 0, chosen, out=out[done : done + count])
        block.cursor += count
        return count

    def _turn(self) -> None:
        """On to the next block that has any rows."""
        rounds_seen = self._now.round
        while not self._now.left:
            if self._now.round > rounds_seen + 1:
                raise EngineError(
                    "Position 0 and sink tokens are all there is in the texts.",
                    "Tokenize with longer contexts, or choose another hook site.",
                    code="contexts_too_short",
                )
            if self._blocks.is_single:
                self._now = self._blocks.again(self._now)
            else:
                following = self._next or self._begin_following(self._now)
                while following.order_P is None:
                    self._blocks.advance(following)
                self._spare, self._now, self._next = self._now.buffers, following, None

    def _harvest_ahead(self, now: Block) -> None:
        """Some forward passes for the next block: so many before each batch that it is there when this one ends."""
        is_enough = now.served_before + now.filled >= self._rows_wanted
        if self._blocks.is_single or is_enough:
            return
        self._next = self._next or self._begin_following(now)
        batches_left = now.left // self._batch_size
        for _ in range(-(-self._next.passes_left // (batches_left + 1))):
            if self._next.order_P is None:
                self._blocks.advance(self._next)

    def _begin_following(self, now: Block) -> Block:
        buffers, self._spare = self._spare or self._buffers(self._blocks.capacity), None
        return self._blocks.following(now, buffers)

    def _buffers(self, rows: int) -> tuple[Tensor, ...]:
        return tuple(torch.empty(rows, width, dtype=torch.bfloat16, device=self._device) for width in self._widths)
