"""Blocks of a text stream: stretches of contexts, harvested at all hook sites and shuffled by rows.

A round of contexts (activations/context_order.py) is cut into equal blocks of at most about `buffer_tokens` positions. The
included rows of a block lie in preallocated bfloat16 buffers; a permutation from (seed, round, block) says in which order
they are served. Harvesting ends where the training will read no further.

Shapes: N contexts, P rows of a block, D width of a site.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from workers.engine.activations.context_order import ContextOrder
from workers.engine.activations.harvest import Harvested
from workers.engine.activations.texts import Texts

ROWS = 1
"""Sets the seeds of permutations of rows apart from those of contexts."""
Harvest = Callable[[np.ndarray], Iterator[Harvested]]
"""From contexts (N, 2) to one forward pass after another."""


@dataclass
class Block:
    """One block, being filled or served."""

    round: int
    number: int
    """Within the round."""
    served_before: int
    """Rows that all earlier blocks served."""
    buffers: tuple[Tensor, ...]
    """(capacity, D) for each captured site."""
    passes: Iterator[Harvested]
    passes_left: int
    filled: int = 0
    cursor: int = 0
    """Rows served."""
    order_P: Tensor | None = None
    """In which order rows are served; None while it is being filled."""

    @property
    def left(self) -> int:
        return self.filled - self.cursor


class Blocks:
    """Makes one block after another. `limits` has the largest norm at each site."""

    def __init__(
        self,
        texts: Texts,
        order: ContextOrder,
        harvest: Harvest,
        limits: tuple[float | None, ...],
        *,
        rows_wanted: int,
        buffer_tokens: int,
        batch_contexts: int,
        seed: int,
    ) -> None:
        self._texts, self._order, self._harvest, self._limits = texts, order, harvest, limits
        self._rows_wanted, self._buffer_tokens = rows_wanted, buffer_tokens
        self._batch_contexts, self._seed = batch_contexts, seed
        self.is_single = order.is_whole and texts.position_count <= buffer_tokens
        """The whole text is one block: it is harvested once and only shuffled again for each round."""
        self.capacity = min(buffer_tokens, texts.position_count) + texts.context_length
        self._plan = lru_cache(maxsize=2)(self._cut)

    def begin(self, round_: int, number: int, served_before: int, buffers: tuple[Tensor, ...]) -> Block:
        """An empty block."""
        order_N2, borders = self._plan(0 if self.is_single else round_)
        order_N2 = order_N2[borders[number] : borders[number + 1]]
        passes = -(-len(order_N2) // self._batch_contexts)
        return Block(round_, number, served_before, buffers, self._harvest(order_N2), passes)

    def following(self, block: Block, buffers: tuple[Tensor, ...]) -> Block:
        """The empty block after `block`, which is full."""
        is_last = block.number + 1 == self.count(block.round)
        place = (block.round + 1, 0) if is_last else (block.round, block.number + 1)
        return self.begin(*place, block.served_before + block.filled, buffers)

    def again(self, block: Block) -> Block:
        """The same rows for the next round, in another order."""
        following = replace(
            block, round=block.round + 1, served_before=block.served_before + block.filled, cursor=0, order_P=None
        )
        self._shuffle(following)
        return following

    def advance(self, block: Block) -> None:
        """One forward pass for `block`; after its last one, or when the training needs no more, its rows are shuffled."""
        batch = next(block.passes, None)
        if batch is not None:
            included_BT = batch.included(self._limits)
            count = int(included_BT.sum())
            for buffer, x_BTD in zip(block.buffers, batch.x):
                buffer[block.filled : block.filled + count] = x_BTD[included_BT]
            block.filled += count
            block.passes_left -= 1
        # a single block serves every round, so every round must find it filled alike
        wanted = self._rows_wanted - (0 if self.is_single else block.served_before)
        if block.passes_left <= 0 or block.filled >= wanted:
            block.passes_left = 0
            self._shuffle(block)

    def count(self, round_: int) -> int:
        """Blocks in a round."""
        return len(self._plan(0 if self.is_single else round_)[1]) - 1

    def _cut(self, round_: int) -> tuple[np.ndarray, np.ndarray]:
        """The contexts of a round (N, 2), and where its blocks begin and the last one ends."""
        order_N2 = self._order.round(round_)
        positions_N = np.maximum(self._texts.lengths(order_N2) - 1, 0).cumsum()
        blocks = max(1, -(-int(positions_N[-1]) // self._buffer_tokens))
        ends = positions_N[-1] * np.arange(1, blocks) / blocks
        return order_N2, np.concatenate([[0], np.searchsorted(positions_N, ends) + 1, [len(order_N2)]])

    def _shuffle(self, block: Block) -> None:
        order = np.random.default_rng((self._seed, block.round, block.number, ROWS)).permutation(block.filled)
        block.order_P = torch.from_numpy(order).to(block.buffers[0].device)
