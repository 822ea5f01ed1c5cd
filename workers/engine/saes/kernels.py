"""The operations of sparse_rows.py compiled by numba, for a CPU. Importing this needs numba; sparse_rows.py asks first.

Only what pays is here (d_in 576, d_sae 4608, 4096 tokens, k 32, milliseconds of one core, PyTorch → numba): the choice of k
latents 100 → 20, the list of firing pairs 40 → 15, the dot products of pairs 37 → 16. PyTorch's embedding bags are as fast as
compiled loops for weighted sums of rows, so these stay with it.

Each row of the result is computed by one thread in one order: the number of threads, which is PyTorch's, changes no bit.
Threads are Python's, for kernels that hold no lock: numba's own would be a second pool, which takes longer to compile and
ends the process when it finds itself forked.

candidate_kernels.py has those of exact encoding; compiled.py how all are compiled.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from workers.engine.saes.candidate_kernels import dot_in_float64, largest, list_candidates
from workers.engine.saes.compiled import BLOCK, INFINITY_BITS, NAN_KEY, compiled, compiled_sums, reached_by, take_row
from workers.engine.saes.sparse_rows import Interval, SparseRows


class NumbaRows(SparseRows):
    """SparseRows in float32 on the CPU."""

    NAME = "numba"

    def top_k(self, p_CF: Tensor, weight_F: Tensor, k: int, bias_F: Tensor | None = None) -> tuple[Tensor, Tensor]:
        bias_F = torch.zeros_like(weight_F) if bias_F is None else bias_F
        latent_CK = torch.empty(len(p_CF), k, dtype=torch.long)
        p_CK = torch.empty(len(p_CF), k)
        arrays = [t.numpy() for t in (bias_F, weight_F, latent_CK, p_CK)]
        p, is_half = _numbers(p_CF)
        _in_parts(len(p), lambda first, last: _top_k(first, last, p, is_half, *arrays))
        return latent_CK, p_CK

    def above(self, p_CF: Tensor, floor_F: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (p, is_half), floor = _numbers(p_CF), floor_F.numpy()
        ends = np.empty(len(p), np.int64)
        _in_parts(len(p), lambda first, last: _count_above(first, last, p, is_half, floor, ends))
        np.cumsum(ends, out=ends)
        pairs = int(ends[-1])
        row_N, column_N = torch.empty(2, pairs, dtype=torch.long)
        p_N = torch.empty(pairs)
        lists = [t.numpy() for t in (row_N, column_N, p_N)]
        _in_parts(len(p), lambda first, last: _list_above(first, last, p, is_half, floor, ends, *lists))
        return row_N, column_N, p_N

    def dot(self, row_N: Tensor, starts_B: Tensor, column_N: Tensor, x_BD: Tensor, W_FD: Tensor) -> Tensor:
        dot_N = torch.empty(len(row_N))
        arrays = [t.numpy() for t in (row_N, column_N, x_BD, W_FD, dot_N)]
        _in_parts(len(row_N), lambda first, last: _dot(first, last, *arrays))
        return dot_N

    def candidates(self, interval: Interval, scale_F: Tensor, k: int | None) -> tuple[Tensor, Tensor]:
        p, is_half = _numbers(interval.p_CF)
        share = np.float32(interval.share)
        radius = interval.radius_C.numpy()
        of_columns = [t.numpy() for t in (interval.norm_F, interval.low_F, interval.high_F, scale_F)]

        def work(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
            return list_candidates(first, last, p, is_half, radius, share, *of_columns, k or 0)

        listed = _in_parts(len(p), work)
        row_N, column_N = (np.concatenate(parts) for parts in zip(*listed))
        return torch.from_numpy(row_N), torch.from_numpy(column_N)

    def dot_in_float64(self, row_N: Tensor, column_N: Tensor, x_CD: Tensor, W_FD: Tensor) -> Tensor:
        dot_N = torch.empty(len(row_N), dtype=torch.float64)
        arrays = [t.numpy() for t in (row_N, column_N, x_CD, W_FD, dot_N)]
        _in_parts(len(row_N), lambda first, last: dot_in_float64(first, last, *arrays))
        return dot_N

    def largest(self, row_N: Tensor, value_N: Tensor, k: int) -> Tensor:
        return torch.from_numpy(largest(row_N.numpy(), value_N.numpy(), k))


def _numbers(p_CF: Tensor) -> tuple[ndarray, bool]:
    """As NumPy knows them: bfloat16 by its bits, which are the upper ones of a float32, and whether they are such."""
    is_half = p_CF.dtype == torch.bfloat16
    return (p_CF.view(torch.int16) if is_half else p_CF.float()).numpy(), is_half


def _in_parts(count: int, work: Callable[[int, int], Any]) -> list[Any]:
    """What work(first, last) answers on equal parts of `count`, one for each thread that PyTorch uses."""
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        return [work(0, count)]
    bounds = [count * part // threads for part in range(threads + 1)]
    return [done.result() for done in [_pool(threads).submit(work, *part) for part in pairwise(bounds)]]


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    # denormals are flushed in training (trainer.py), but that holds for one thread alone
    return ThreadPoolExecutor(threads, "kernel", initializer=torch.set_flush_denormal, initargs=(True,))


os.register_at_fork(after_in_child=_pool.cache_clear)


@compiled
def _top_k(
    first: int,
    last: int,
    p: ndarray,
    is_half: bool,
    bias: ndarray,
    weight: ndarray,
    latents: ndarray,
    values: ndarray,
) -> None:
    """The k columns of each row with the largest (p + bias) · weight; among equals the first ones found.

    Floats are compared by their bits, as integers in the same order, so that NaN has a place: the largest. Columns j,
    j + width, j + 2 width, … are a block. The k largest maxima of blocks are k entries, so the k-th largest entry is no
    smaller than the k-th largest maximum: only blocks and entries that reach that need a look.
    """
    columns, k = p.shape[1], latents.shape[1]
    blocks = max(1, min(BLOCK, columns // (4 * k)))
    width = (columns + blocks - 1) // blocks
    row, score = np.empty(columns, np.float32), np.empty(columns, np.float32)
    keys = score.view(np.int32)
    maxima = np.empty(width, np.int32)
    found, found_keys = np.empty(columns, np.int32), np.empty(columns, np.int32)
    for b in range(first, last):
        take_row(p[b], is_half, row)
        for j in range(columns):
            score[j] = (row[j] + bias[j]) * weight[j]
        maxima[:] = -NAN_KEY - 1
        for start in range(0, columns, width):
            # a slice, since indices that might be negative keep a loop from becoming vectors
            block = keys[start : start + width]
            for j in range(len(block)):
                bits = block[j]
                key = bits ^ ((bits >> 31) & NAN_KEY)
                block[j] = np.int32(NAN_KEY) if (bits & NAN_KEY) > INFINITY_BITS else np.int32(key)
                maxima[j] = max(maxima[j], block[j])
        reach = reached_by(maxima, k, k // 4)
        count = 0
        for j in range(width):
            if maxima[j] >= reach:
                for column in range(j, columns, width):
                    if keys[column] >= reach:
                        found[count], found_keys[count] = column, keys[column]
                        count += 1
        smallest = reached_by(found_keys[:count], k, 0)
        chosen = 0
        for is_equal in (False, True):
            for j in range(count):
                if chosen < k and (found_keys[j] == smallest if is_equal else found_keys[j] > smallest):
                    latents[b, chosen], values[b, chosen] = found[j], row[found[j]]
                    chosen += 1


@compiled
def _count_above(first: int, last: int, p: ndarray, is_half: bool, floor: ndarray, counts: ndarray) -> None:
    row = np.empty(p.shape[1], np.float32)
    for b in range(first, last):
        take_row(p[b], is_half, row)
        count = np.int32(0)
        for j in range(len(row)):
            count += np.int32(not row[j] <= floor[j])
        counts[b] = count


@compiled
def _list_above(
    first: int,
    last: int,
    p: ndarray,
    is_half: bool,
    floor: ndarray,
    ends: ndarray,
    rows: ndarray,
    columns: ndarray,
    values: ndarray,
) -> None:
    n = ends[first - 1] if first else 0
    row, hits = np.empty(p.shape[1], np.float32), np.empty(p.shape[1], np.int32)
    for b in range(first, last):
        take_row(p[b], is_half, row)
        count = 0
        for j in range(len(row)):
            # written always and kept sometimes: a branch would be guessed wrong too often
            hits[count] = j
            count += np.int64(not row[j] <= floor[j])
        for hit in hits[:count]:
            rows[n], columns[n], values[n] = b, hit, row[hit]
            n += 1


@compiled_sums
def _dot(first: int, last: int, rows: ndarray, columns: ndarray, x: ndarray, W: ndarray, dots: ndarray) -> None:
    for n in range(first, last):
        a, b = x[rows[n]], W[columns[n]]
        total = np.float32(0)
        for d in range(len(a)):
            total += a[d] * b[d]
        dots[n] = total
