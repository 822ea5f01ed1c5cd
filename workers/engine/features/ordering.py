"""Sorting and slicing of many groups in one flat array: what lets a whole range of latents be worked on at once.

Shapes: N entries, G groups, M entries chosen from the groups, one group after another.
"""

import numpy as np

INTEGER_BITS = 63
RADIX_BITS = 16


def stable_order(keys_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The keys, integers from 0 on, in ascending order, and the place that each came from; equal ones in their order.

    NumPy sorts 16 bits by radix. Keys that leave room for a place in 64 bits are sorted together with it, which vector
    instructions do several times faster than an argsort.
    """
    place_bits, key_bits = len(keys_N).bit_length(), int(keys_N.max(initial=0)).bit_length()
    if key_bits <= RADIX_BITS:
        order = np.argsort(keys_N.astype(np.uint16), kind="stable")
        return keys_N[order], order
    if key_bits + place_bits > INTEGER_BITS:
        order = np.argsort(keys_N, kind="stable")
        return keys_N[order], order
    packed_N = (keys_N.astype(np.int64) << place_bits) | np.arange(len(keys_N))
    packed_N.sort()
    return packed_N >> place_bits, packed_N & ((1 << place_bits) - 1)


def slices(begin_G: np.ndarray, count_G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) group and (M,) place of all places begin, begin + 1, … begin + count - 1 of each group."""
    group_M = np.repeat(np.arange(len(count_G)), count_G)
    return group_M, np.arange(len(group_M)) + np.repeat(begin_G - (count_G.cumsum() - count_G), count_G)


def ranks(group_M: np.ndarray) -> np.ndarray:
    """(M,) how many entries of the same group stand before each; the groups ascend."""
    return np.arange(len(group_M)) - np.searchsorted(group_M, group_M)


def first_of_each(keys_M: np.ndarray) -> np.ndarray:
    """Places, ascending, of the entries whose key did not occur before."""
    return np.sort(np.unique(keys_M, return_index=True)[1])
