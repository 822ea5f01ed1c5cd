"""How kernels are compiled, and the search that they share. Importing this needs numba.

Machine code is kept beside the file of a kernel, in __pycache__, where Python keeps its own: looked up by processor, version of
numba and the time of the file. Where that folder is not to be written, each process compiles for some seconds.
"""

import os
from pathlib import Path

import numba
import numpy as np
from numpy import ndarray

BLOCK = 16
"""Columns that share a maximum when rows are searched for their largest."""
ZERO, INFINITY = np.float32(0), np.float32(np.inf)
NAN_KEY = 0x7FFFFFFF
INFINITY_BITS = 0x7F800000
REORDERED = {"reassoc", "contract", "nsz"}
"""Sums may be taken in the order that vectors want; NaN and infinity keep their meaning."""

compiled = numba.njit(nogil=True, cache=os.access(Path(__file__).parent, os.W_OK), error_model="numpy")
compiled_sums = numba.njit(nogil=True, cache=os.access(Path(__file__).parent, os.W_OK), fastmath=REORDERED)
inlined = numba.njit(inline="always", nogil=True, error_model="numpy")
"""Part of the function that calls it, where the compiler sees which arrays are apart."""


@compiled
def reached_by(keys: ndarray, k: int, slack: int) -> int:
    """The largest integer that at least k of the keys reach; with slack one that at most k + slack do, if there is any."""
    low = high = np.int64(keys[0])
    for j in range(len(keys)):
        low, high = min(low, np.int64(keys[j])), max(high, np.int64(keys[j]))
    while low < high:
        middle = np.int32(low + (high - low + 1) // 2)
        count = np.int32(0)
        for key in keys:
            count += np.int32(key >= middle)
        if count < k:
            high = np.int64(middle) - 1
        else:
            low = np.int64(middle)
            if count <= k + slack:
                break
    return np.int32(low)


@inlined
def take_row(p: ndarray, is_half: bool, row: ndarray) -> None:
    """Into `row`, float32, the numbers of `p`: those of bfloat16 by their bits when is_half."""
    bits = row.view(np.int32)
    if is_half:
        for j in range(len(row)):
            bits[j] = np.int32(p[j]) << 16
    else:
        for j in range(len(row)):
            row[j] = p[j]
