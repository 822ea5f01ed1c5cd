"""The (token, latent) pairs of a step: all of them as matrices, or only those that fire as flat lists.

Once few latents fire, most of what a dense step multiplies is 0. Both classes answer the same questions, so an
architecture writes its arithmetic once, elementwise over "the pairs", and gets a dense and an active-set step from it:

               DensePairs           ActivePairs
    a value    (B, F) matrix        (N,) list
    decode     matrix product       embedding bags: a token's rows, weighted, summed
    dot        matrix product       of each pair's two rows (sparse_rows.py)
    add_rows   matrix product       embedding bags: a latent's tokens, weighted, summed

Shapes: B tokens, F latents, N active pairs in order of tokens, D width of a row; V is (B, F) or (N,), whichever the
pairs have.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from workers.engine.saes.sparse_rows import TORCH_ROWS, SparseRows, places_of_true


class Pairs(Protocol):
    """What an architecture may ask of its pairs."""

    def of_latent(self, v_F: Tensor) -> Tensor:
        """A number of each latent, to be combined with values V of the pairs."""

    def of_token(self, v_B: Tensor) -> Tensor:
        """A number of each token, to be combined with values V of the pairs."""

    def sum_over_tokens(self, value_V: Tensor) -> Tensor:
        """(F,) float32."""

    def sum_over_latents(self, value_V: Tensor) -> Tensor:
        """(B,) float32."""

    def only(self, is_on_V: Tensor) -> tuple["Pairs", Callable[[Tensor], Tensor]]:
        """The pairs that are on, and a function that takes values V to theirs; matrices keep their shape and hold 0."""

    def decode(self, value_V: Tensor, W_FD: Tensor) -> Tensor:
        """(B, D) float32: for each token the sum of the latents' rows, weighted by their values."""

    def dot(self, x_BD: Tensor, W_FD: Tensor) -> Tensor:
        """V: for each pair the token's row times the latent's row."""

    def add_rows(self, value_V: Tensor, x_BD: Tensor, out_FD: Tensor) -> None:
        """Add to each latent's row of `out_FD` the tokens' rows, weighted by the values."""


@dataclass(frozen=True)
class DensePairs:
    """Every latent with every token of a chunk. Products run in `dtype`."""

    dtype: torch.dtype

    def of_latent(self, v_F: Tensor) -> Tensor:
        return v_F

    def of_token(self, v_B: Tensor) -> Tensor:
        return v_B[:, None]

    def sum_over_tokens(self, value_BF: Tensor) -> Tensor:
        return value_BF.sum(0)

    def sum_over_latents(self, value_BF: Tensor) -> Tensor:
        return value_BF.sum(1)

    def only(self, is_on_BF: Tensor) -> tuple["DensePairs", Callable[[Tensor], Tensor]]:
        return self, lambda value_BF: value_BF * is_on_BF

    def decode(self, value_BF: Tensor, W_FD: Tensor) -> Tensor:
        return (value_BF.to(self.dtype) @ W_FD.to(self.dtype)).float()

    def dot(self, x_BD: Tensor, W_FD: Tensor) -> Tensor:
        return (x_BD.to(self.dtype) @ W_FD.to(self.dtype).T).float()

    def add_rows(self, value_BF: Tensor, x_BD: Tensor, out_FD: Tensor) -> None:
        if self.dtype == out_FD.dtype:
            out_FD.addmm_(value_BF.T, x_BD)
        else:
            out_FD.add_(value_BF.T.to(self.dtype) @ x_BD.to(self.dtype))


@dataclass(frozen=True)
class ActivePairs:
    """The pairs that `token_N` and `latent_N` list, tokens ascending. Products run in float32."""

    token_N: Tensor
    latent_N: Tensor
    tokens: int
    d_sae: int
    rows: SparseRows = TORCH_ROWS

    @classmethod
    def above(
        cls, p_CF: Tensor, floor_F: Tensor, first_token: int, rows: SparseRows = TORCH_ROWS
    ) -> tuple["ActivePairs", Tensor]:
        """The pairs of a chunk that are above the latent's floor, or NaN, and their p; tokens count from `first_token`."""
        token_N, latent_N, p_N = rows.above(p_CF, floor_F)
        return cls(token_N.add_(first_token), latent_N, *p_CF.shape, rows), p_N

    @classmethod
    def of_each(cls, latent_BK: Tensor, d_sae: int, rows: SparseRows = TORCH_ROWS) -> "ActivePairs":
        """The pairs of tokens that have K latents each."""
        B, K = latent_BK.shape
        token_N = torch.arange(B, device=latent_BK.device).repeat_interleave(K)
        return cls(token_N, latent_BK.reshape(-1), B, d_sae, rows)

    @classmethod
    def joined(cls, parts: list["ActivePairs"]) -> "ActivePairs":
        """One list of several whose tokens follow each other."""
        token_N = torch.cat([part.token_N for part in parts])
        latent_N = torch.cat([part.latent_N for part in parts])
        return cls(token_N, latent_N, sum(part.tokens for part in parts), parts[0].d_sae, parts[0].rows)

    def of_latent(self, v_F: Tensor) -> Tensor:
        return v_F[self.latent_N]

    def of_token(self, v_B: Tensor) -> Tensor:
        return v_B[self.token_N]

    def sum_over_tokens(self, value_N: Tensor) -> Tensor:
        return torch.zeros(self.d_sae, device=value_N.device).index_add_(0, self.latent_N, value_N)

    def sum_over_latents(self, value_N: Tensor) -> Tensor:
        return torch.zeros(self.tokens, device=value_N.device).index_add_(0, self.token_N, value_N)

    def only(self, is_on_N: Tensor) -> tuple["ActivePairs", Callable[[Tensor], Tensor]]:
        index_M = places_of_true(is_on_N)
        return self.taken(index_M), lambda value_N: value_N[index_M]

    def taken(self, index_M: Tensor) -> "ActivePairs":
        """The pairs at these places, ascending."""
        return replace(self, token_N=self.token_N[index_M], latent_N=self.latent_N[index_M])

    def decode(self, value_N: Tensor, W_FD: Tensor) -> Tensor:
        return embedding_bag(self.latent_N, W_FD, self._starts_B, mode="sum", per_sample_weights=value_N)

    def dot(self, x_BD: Tensor, W_FD: Tensor) -> Tensor:
        return self.rows.dot(self.token_N, self._starts_B, self.latent_N, x_BD, W_FD)

    def sum_rows(self, value_N: Tensor, x_BD: Tensor) -> Tensor:
        """(F, D): for each latent the sum of the tokens' rows, weighted by the values."""
        # the same sum as decode with tokens and latents swapped: twice as fast as the bags' backward for their rows
        order_N, token_N, starts_F = self._by_latent
        return embedding_bag(token_N, x_BD, starts_F, mode="sum", per_sample_weights=value_N[order_N])

    def add_rows(self, value_N: Tensor, x_BD: Tensor, out_FD: Tensor) -> None:
        out_FD.add_(self.sum_rows(value_N, x_BD))

    @cached_property
    def _starts_B(self) -> Tensor:
        return _starts(self.token_N, self.tokens)

    @cached_property
    def _by_latent(self) -> tuple[Tensor, Tensor, Tensor]:
        """The order that sorts the pairs by latent, their tokens in it, and where each latent begins."""
        order_N = self.latent_N.int().argsort(stable=True)
        return order_N, self.token_N[order_N], _starts(self.latent_N, self.d_sae)


def _starts(row_N: Tensor, rows: int) -> Tensor:
    """Where each row begins in a list sorted by rows."""
    size_R = torch.bincount(row_N, minlength=rows)
    return size_R.cumsum(0) - size_R
