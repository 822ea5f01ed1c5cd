"""Sets of features as sorted arrays of their indices: how they are stored, and how a query is narrowed to one.

Shapes: N members of a set.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.expressions import Func
from django.db.models.lookups import Exact

IndexSet = np.ndarray
"""(N,) uint32, ascending, each index once."""
MOST_LISTED = 500
"""Larger sets are looked up in a map of bytes, which costs a row the same whatever the set's size."""


def index_set(indices: Iterable[int] | np.ndarray = ()) -> IndexSet:
    """The set of `indices`, in any order."""
    values = indices if isinstance(indices, np.ndarray) else np.fromiter(indices, dtype=np.uint32)
    return np.unique(values.astype(np.uint32))


def union(sets: Iterable[IndexSet]) -> IndexSet:
    """What lies in any of the sets."""
    known = [members for members in sets if len(members)]
    if len(known) < 2:
        return known[0] if known else index_set()
    counted = np.concatenate(known)
    return np.flatnonzero(_marks(counted, int(counted.max()) + 1)).astype(np.uint32)


def intersection(sets: Sequence[IndexSet]) -> IndexSet:
    """What lies in all of the sets, at least one."""
    smallest, *others = sorted(sets, key=len)
    for members in others:
        if not len(smallest):
            break
        end = int(smallest[-1]) + 1
        smallest = smallest[_marks(members[: np.searchsorted(members, end)], end)[smallest]]
    return smallest


def members_by_sae(features: models.QuerySet) -> dict[int, IndexSet]:
    """SAE → which of its features are among `features`."""
    found: dict[int, list[int]] = {}
    for sae_id, index in features.order_by().values_list("sae_id", "index"):
        found.setdefault(sae_id, []).append(index)
    return {sae_id: index_set(indices) for sae_id, indices in found.items()}


def spans_of(members: IndexSet) -> str:
    """A set as the filter's field of numbers takes it: {3, 10, 11, 12} is "3,10-12"."""
    ends = np.flatnonzero(np.diff(members.astype(np.int64)) > 1)
    firsts, lasts = members[np.append(0, ends + 1)], members[np.append(ends, len(members) - 1)]
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(firsts.tolist(), lasts.tolist()))


def _marks(members: np.ndarray, end: int) -> np.ndarray:
    """(end,) bool, true at the members: sorting them would take longer."""
    marks = np.zeros(end, dtype=bool)
    marks[members] = True
    return marks


class IndexSetField(models.BinaryField):
    """An IndexSet as four little-endian bytes for each member."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> IndexSet | None:
        return None if value is None else np.frombuffer(value, dtype="<u4").astype(np.uint32)

    def get_prep_value(self, value: Any) -> Any:
        """Arrays become bytes; what is bytes already stays."""
        return value.astype("<u4").tobytes() if isinstance(value, np.ndarray) else value


def within(members: IndexSet) -> Q:
    """The condition that a feature's index is one of `members`."""
    if len(members) <= MOST_LISTED:
        return Q(index__in=members.tolist())
    marks = _marks(members, int(members[-1]) + 1)
    bytes_field = models.BinaryField()
    mark = Func(Value(marks.tobytes(), bytes_field), F("index") + 1, 1, function="SUBSTR", output_field=bytes_field)
    return Q(Exact(mark, Value(b"\x01", bytes_field)))
