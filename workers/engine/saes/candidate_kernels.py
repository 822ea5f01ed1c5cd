"""What exact encoding (exact.py) asks of rows, compiled: candidates, their dot products in float64, the k largest.

As in kernels.py, each row of a result is computed by one thread in one order.
"""

import numpy as np
from numpy import ndarray

from workers.engine.saes.compiled import BLOCK, INFINITY, ZERO, compiled, compiled_sums, inlined, reached_by, take_row


@compiled_sums
def dot_in_float64(
    first: int, last: int, rows: ndarray, columns: ndarray, x: ndarray, W: ndarray, dots: ndarray
) -> None:
    for n in range(first, last):
        a, b = x[rows[n]], W[columns[n]]
        total = np.float64(0)
        for d in range(len(a)):
            total += np.float64(a[d]) * np.float64(b[d])
        dots[n] = total


@compiled
def list_candidates(
    first: int,
    last: int,
    p: ndarray,
    is_half: bool,
    radius: ndarray,
    share: float,
    norm: ndarray,
    low: ndarray,
    high: ndarray,
    scale: ndarray,
    k: int,
) -> tuple[ndarray, ndarray]:
    """Rows and columns of SparseRows.candidates; `p` holds the bits of bfloat16 when is_half, and k is 0 for none.

    Columns j, j + width, j + 2 width, … are a block, as in top_k: only blocks whose largest upper bound reaches the floor hold
    candidates.
    """
    columns = p.shape[1]
    blocks = max(1, min(BLOCK, columns // (4 * k))) if k else BLOCK
    width = (columns + blocks - 1) // blocks
    lower, upper = np.empty(columns, np.float32), np.empty(columns, np.float32)
    top_lower, top_upper = np.empty(width, np.float32), np.empty(width, np.float32)
    length = columns + 64 * (last - first)
    listed = np.empty((2, length), np.int64)
    n = 0
    for b in range(first, last):
        if n + columns > listed.shape[1]:
            listed = np.concatenate((listed, np.empty_like(listed)), axis=1)
        _bound_row(p[b], is_half, radius[b], (share, norm, low, high, scale), lower, upper, top_lower, top_upper)
        floor = _kth_largest(lower, top_lower, k) if k else ZERO
        begin = n
        for j in range(width):
            if top_upper[j] >= floor:
                for column in range(j, columns, width):
                    if upper[column] >= floor:
                        listed[0, n], listed[1, n] = b, column
                        n += 1
        listed[1, begin:n].sort()
    return listed[0, :n].copy(), listed[1, :n].copy()


@inlined
def _bound_row(
    p: ndarray,
    is_half: bool,
    radius: float,
    of_columns: tuple,
    lower: ndarray,
    upper: ndarray,
    top_lower: ndarray,
    top_upper: ndarray,
) -> None:
    """The bounds of a row's values, lower ones at least 0, and the largest of each block. NaN is anywhere: 0 and infinity.

    Short loops over few arrays become vectors, one long loop does not.
    """
    share, norm, low, high, scale = of_columns
    columns, width = len(p), len(top_lower)
    value, slack = np.empty(width, np.float32), np.empty(width, np.float32)
    top_lower[:] = ZERO
    top_upper[:] = ZERO
    for start in range(0, columns, width):
        stop = min(start + width, columns)
        row, norms, lows, highs, scales = (
            p[start:stop],
            norm[start:stop],
            low[start:stop],
            high[start:stop],
            scale[start:stop],
        )
        lowers, uppers = lower[start:stop], upper[start:stop]
        take_row(row, is_half, value[: len(row)])
        for j in range(len(row)):
            slack[j] = share * abs(value[j]) + radius * norms[j]
        for j in range(len(row)):
            least = (value[j] - slack[j] + lows[j]) * scales[j]
            lowers[j] = least if least > ZERO else ZERO
        for j in range(len(row)):
            most = (value[j] + slack[j] + highs[j]) * scales[j]
            uppers[j] = most if most <= INFINITY else INFINITY
        for j in range(len(row)):
            top_lower[j] = lowers[j] if lowers[j] > top_lower[j] else top_lower[j]
        for j in range(len(row)):
            top_upper[j] = uppers[j] if uppers[j] > top_upper[j] else top_upper[j]


@compiled
def _kth_largest(values: ndarray, tops: ndarray, k: int) -> float:
    """No more than the k-th largest of values that are at least 0, and hardly less; `tops` are the blocks' largest.

    At least k values reach the k-th largest of the tops: only blocks that do hold the k largest.
    """
    keys, top_keys = values.view(np.int32), tops.view(np.int32)
    width, count = len(tops), 0
    reach = reached_by(top_keys, k, k // 4)
    found = np.empty(len(values), np.float32)
    found_keys = found.view(np.int32)
    for j in range(width):
        if top_keys[j] >= reach:
            for column in range(j, len(values), width):
                if keys[column] >= reach:
                    found_keys[count] = keys[column]
                    count += 1
    found_keys[0] = reached_by(found_keys[:count], k, 0)
    return found[0]


@compiled
def largest(rows: ndarray, values: ndarray, k: int) -> ndarray:
    """SparseRows.largest, of values above 0: their bits, taken for integers, are in the same order."""
    kept, keys = np.empty(len(rows), np.int64), values.view(np.int32)
    count = start = 0
    while start < len(rows):
        stop = start
        while stop < len(rows) and rows[stop] == rows[start]:
            stop += 1
        smallest, equals = np.int32(0), k
        if stop - start > k:
            smallest = reached_by(keys[start:stop], k, 0)
            for n in range(start, stop):
                equals -= np.int64(keys[n] > smallest)
        for n in range(start, stop):
            if keys[n] > smallest or (keys[n] == smallest and equals > 0):
                equals -= np.int64(keys[n] == smallest)
                kept[count] = n
                count += 1
        start = stop
    return kept[:count].copy()
