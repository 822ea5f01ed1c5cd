"""Sorting and slicing of groups against NumPy's own, plain and slow."""

import numpy as np
import pytest

from workers.engine.features.ordering import first_of_each, ranks, slices, stable_order

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("largest", [1, 500, 2**16 - 1, 2**16, 2**31 - 1])
def test_the_order_is_that_of_a_stable_sort(largest, dtype):
    keys = RANDOM.integers(0, largest, 3000, endpoint=True).astype(dtype)
    keys[::7] = largest
    found, order = stable_order(keys)
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(found, keys[order])


def test_keys_that_leave_no_room_for_a_place_are_sorted_too():
    keys = RANDOM.integers(2**60, 2**60 + 40, 3000)
    found, order = stable_order(keys)
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(found, keys[order])


def test_nothing_has_an_order():
    assert [len(found) for found in stable_order(np.empty(0, np.int64))] == [0, 0]


def test_slices_count_up_from_each_begin_and_ranks_start_anew_in_each_group():
    group, place = slices(np.array([10, 3, 7, 0]), np.array([2, 0, 3, 1]))
    assert group.tolist() == [0, 0, 2, 2, 2, 3]
    assert place.tolist() == [10, 11, 7, 8, 9, 0]
    assert ranks(group).tolist() == [0, 1, 0, 1, 2, 0]


def test_the_first_of_each_key_is_kept_in_its_place():
    assert first_of_each(np.array([5, 3, 5, 9, 3])).tolist() == [0, 1, 3]
