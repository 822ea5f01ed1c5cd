"""ExactEncoder: what an SAE's encoder answers, to the last bit, at the price of a rough product.

    p_ij = x_i · w_j + b_j      the exact value, rounded once to float32

That has one answer, whatever the processor, the library, the number of threads or the tokens beside it. It is had in three
steps, of which only the first touches all (token, latent) pairs:

1. p̃ = x̃ w̃ᵀ, one product in the fastest precision with a known error: bfloat16 where the processor multiplies it, else
   float32. x̃ and w̃ are x and w rounded to it. By Cauchy and Schwarz, D terms being added in float32 in any order,

       |x·w - p̃| ≤ ‖x-x̃‖ ‖w‖ + ‖x̃‖ ‖w-w̃‖ + γ ‖x̃‖ ‖w̃‖ + υ |p̃|      γ = 2D ε, ε = 2⁻²⁴; υ: rounding of p̃ itself
                ≤ radius_i n_j + υ |p̃|                               n_j ≥ ‖w_j‖

   The norms of the roundings are measured, not assumed. γ has twice what IEEE sums need, for units that cut off. Units for
   bfloat16 take numbers below 2⁻¹²⁶ for 0: TINY and SMALLEST_LENGTH make up for it;
2. candidates (sparse_rows.py): what may exceed a floor, or may be among the k largest, within those bounds;
3. their p: in float64, where each product of two float32 is exact and D of them add up with an error below
   D 2⁻⁵³ ‖x‖ ‖w‖. The few sums that this error leaves on either side of a rounding are added again without any.

On other devices than the CPU the product is in float32: some add bfloat16 up in bfloat16.

Shapes: B tokens, C tokens of a chunk, D d_in, F d_sae, N candidates.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workers.engine.precision import matmul_dtype_for
from workers.engine.saes.encoder_chunks import EncoderChunks
from workers.engine.saes.sparse_rows import Interval, SparseRows

TINY = 2.0**-126
"""Smaller numbers may count as 0."""
SMALLEST_LENGTH = 2.0**-100
"""Weights of a latent count as at least that long, so that what is lost of them in TINY is little beside it."""
ROUNDED_SHARE = {torch.float32: 0.0, torch.bfloat16: 2.0**-8}
"""How much of a number rounding to it may change."""
SAFETY = 1 + 2.0**-10
"""Makes up for the float32 in which bounds are computed."""


class Candidates(NamedTuple):
    """Pairs (N,) of a chunk in order of tokens, then latents, and their exact p; tokens count within the chunk."""

    token_N: Tensor
    latent_N: Tensor
    p_N: Tensor


class ExactEncoder:
    """Of weights (F, D) and biases (F,), float32. Chunks of x stay within `rows`' way of working."""

    def __init__(self, W_FD: Tensor, bias_F: Tensor, rows: SparseRows, dtype: torch.dtype | None = None) -> None:
        self._W_FD, self._bias_F, self.rows = W_FD.contiguous(), bias_F, rows
        device = W_FD.device
        self._dtype = dtype or (matmul_dtype_for("cpu") if device.type == "cpu" else torch.float32)
        self._rough_W_FD = self._W_FD.to(self._dtype)
        self._d_in = W_FD.shape[1]
        self._lost_length = math.sqrt(self._d_in) * TINY
        self._length_F = _lengths(self._W_FD).clamp_(min=math.sqrt(self._d_in) * SMALLEST_LENGTH)
        rounding_F = (_lengths(self._W_FD - self._rough_W_FD) + self._lost_length) / self._length_F
        rounding = float(rounding_F.amax()) if len(rounding_F) else 0.0
        added = 2 * self._d_in * 2.0**-24
        self._of_length = rounding + added * (1 + rounding)
        self._norm_F = (self._length_F * SAFETY).float()
        self._error = (self._d_in + 2) * 2.0**-52

    def largest(self, x_BD: Tensor, scale_F: Tensor, k: int) -> Iterator[tuple[int, Candidates]]:
        """The first token of each chunk, and all that may be among a token's k largest p · scale and above 0."""
        for chunk in self._chunks(x_BD):
            interval = self._interval(chunk, torch.zeros_like(self._bias_F))
            yield chunk.first, self._exact(chunk, *self.rows.candidates(interval, scale_F, k))

    def above(self, x_BD: Tensor, floor_F: Tensor) -> Iterator[tuple[int, Candidates]]:
        """The first token of each chunk, and all whose p may be above the latent's floor."""
        for chunk in self._chunks(x_BD):
            pairs = self.rows.candidates(self._interval(chunk, floor_F), torch.ones_like(floor_F), None)
            yield chunk.first, self._exact(chunk, *pairs)

    def _chunks(self, x_BD: Tensor) -> Iterator["_Chunk"]:
        for first, p_CF in EncoderChunks().of(x_BD, self._rough_W_FD, None, self._dtype):
            x_CD = x_BD[first : first + len(p_CF)]
            yield _Chunk(first, x_CD, p_CF, _lengths(x_CD), _lengths(x_CD - x_CD.to(self._dtype)))

    def _interval(self, chunk: "_Chunk", floor_F: Tensor) -> Interval:
        """Where x·w + b - floor lies."""
        rounding_C = chunk.rounding_C + self._lost_length
        radius_C = rounding_C + (chunk.length_C + rounding_C) * self._of_length
        shift_F = self._bias_F - floor_F
        slack_F = (self._bias_F.abs() + floor_F.abs()) * 2.0**-20 + 4 * self._d_in * TINY
        slack_F.masked_fill_(shift_F.isinf(), 0)
        return Interval(
            p_CF=chunk.p_CF,
            share=ROUNDED_SHARE[self._dtype] * (1 + 2.0**-6) + 2.0**-20,
            radius_C=(radius_C * SAFETY).clamp(min=TINY).float(),
            norm_F=self._norm_F,
            low_F=shift_F - slack_F,
            high_F=shift_F + slack_F,
        )

    def _exact(self, chunk: "_Chunk", token_N: Tensor, latent_N: Tensor) -> Candidates:
        """With x·w + b of each pair, rounded once."""
        x_CD, bias_N = chunk.x_CD, self._bias_F.double()[latent_N]
        p_N = self.rows.dot_in_float64(token_N, latent_N, x_CD, self._W_FD).add_(bias_N)
        error_N = (chunk.length_C[token_N] * self._length_F[latent_N]).add_(bias_N.abs()).mul_(self._error)
        rounded_N = (p_N - error_N).float()
        is_open_N = (rounded_N != (p_N + error_N).float()) & p_N.isfinite()
        for n in is_open_N.nonzero().flatten().tolist():
            terms = x_CD[token_N[n]].double() * self._W_FD[latent_N[n]].double()
            rounded_N[n] = float(rounded_sum([*terms.tolist(), float(bias_N[n])]))
        return Candidates(token_N, latent_N, rounded_N)


class _Chunk(NamedTuple):
    first: int
    x_CD: Tensor
    p_CF: Tensor
    """x̃ w̃ᵀ."""
    length_C: Tensor
    """‖x‖, float64; likewise ‖x-x̃‖."""
    rounding_C: Tensor


def rounded_sum(terms: list[float]) -> np.float32:
    """The exact sum, rounded once to float32: half-way to the even one."""
    total = math.fsum(terms)
    nearest = np.float32(total)
    beyond = np.nextafter(nearest, np.float32(math.copysign(math.inf, total - float(nearest))))
    rest = math.fsum([*terms, -total])
    if rest and total != float(nearest) and float(beyond) - total == total - float(nearest):
        # fsum's own rounding has made it half-way: what it left out says on which side it is
        return max(nearest, beyond) if rest > 0 else min(nearest, beyond)
    return nearest


def _lengths(x_BD: Tensor) -> Tensor:
    """Norms (B,) in float64, where squares neither vanish nor overflow."""
    return torch.linalg.vector_norm(x_BD, dim=-1, dtype=torch.float64)
