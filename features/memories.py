"""What visitors did with each ask, and how often they gave each signal, column-wise: the tables of a ``Summary``.

A memory changes only when something happens to its ask, so it is written down once for each such row; a decision
then needs to know, for each ask, the last row it saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.segments import BoolArray, IntArray, prefix_sum, running_max, stable_order
from features.summary import PlaceArray


@dataclass(frozen=True)
class Sights:
    """What n decisions saw: the rows ``first:until`` of all sequences laid end to end, at the time ``now``.

    Decisions are in the order of their sequences.
    """

    first: IntArray
    until: IntArray
    now: IntArray

    def count(self, sums: IntArray) -> IntArray:
        """How many of the rows that ``sums`` counts (``segments.prefix_sum``) each decision saw."""
        return sums[self.until] - sums[self.first]

    def latest(self, values: IntArray, sums: IntArray) -> IntArray:
        """The last item of ``values`` that each decision saw, 0 for none; one value for each row ``sums`` counts."""
        is_seen = sums[self.until] > sums[self.first]
        if len(values) == 0:
            return np.zeros(len(self.until), dtype=np.int64)
        return np.where(is_seen, values[sums[self.until] - 1], 0)


class Chains:
    """Rows of some kind, chained by sequence and ask (or signal), each chain in order of arrival.

    Args:
        rows: the rows, ascending.
        keys: the number of the chain of each.
        scopes: the number of the episode (or session) in which each counts; never falls.
    """

    def __init__(self, rows: IntArray, keys: IntArray, scopes: IntArray) -> None:
        self.order = stable_order(keys)
        self.rows = rows[self.order]
        keys, scopes = keys[self.order], scopes[self.order]
        is_new = np.ones(len(rows), dtype=np.bool_)
        is_new[1:] = keys[1:] != keys[:-1]
        self.groups = np.cumsum(is_new) - 1
        self._first = _latest_flag(is_new)
        is_new[1:] |= scopes[1:] != scopes[:-1]
        self._first_in_scope = _latest_flag(is_new)

    def count(self, flags: BoolArray, *, in_scope: bool = False) -> IntArray:
        """For each row in chain order, how many flagged ones its chain has so far (in its scope)."""
        sums = prefix_sum(flags)
        return sums[1:] - sums[self._first_in_scope if in_scope else self._first]

    def latest(self, flags: BoolArray, at: IntArray) -> IntArray:
        """For each row in chain order, the latest instant of the flagged ones so far, 0 for none."""
        sums = prefix_sum(flags)
        if sums[-1] == 0:
            return np.zeros(len(flags), dtype=np.int64)
        found = running_max(at[flags], self.groups[flags])
        return np.where(sums[1:] > sums[self._first], found[sums[1:] - 1], 0)

    def table(self, fields: Sequence[IntArray], scoped: Sequence[int]) -> IntArray:
        """Zeros, then one column for each memory in order of arrival, then the same once its scope is over."""
        n = len(self.order)
        table = np.zeros((len(fields), 2 * n + 1), dtype=np.int64)
        for i, field in enumerate(fields):
            table[i, 1:][self.order] = field
            if i not in scoped:
                table[i, n + 1 :] = table[i, 1 : n + 1]
        return table


def memory_places(
    is_change: BoolArray, codes: IntArray, width: int, sights: Sights, scope_from: IntArray
) -> PlaceArray:
    """For each decision and ask (or signal), the column of ``Chains.table`` that it saw last, 0 for none.

    Args:
        is_change: which rows of the sequences change a memory.
        codes: which memory each of them changes, below ``width``.
        width: the number of memories of a visitor.
        sights: what the decisions saw.
        scope_from: for each decision the row from which its episode (or session) counts.
    """
    n = len(sights.until)
    changes = prefix_sum(is_change)
    by_sight = stable_order(sights.until)
    n_before = np.cumsum(np.bincount(sights.until, minlength=len(is_change) + 1))
    seen_by = n_before[:-1][is_change]
    is_seen = seen_by < n
    last = np.zeros((n, width), dtype=np.int32)
    # Numbers rise with arrival, so where several changes meet, the last one stays.
    last[seen_by[is_seen], codes[is_seen]] = 1 + np.flatnonzero(is_seen)
    np.maximum.accumulate(last, axis=0, out=last)
    is_own = last > changes[sights.first[by_sight]].astype(np.int32)[:, None]
    is_stale = last <= changes[scope_from[by_sight]].astype(np.int32)[:, None]
    last += is_stale * np.int32(changes[-1])
    last *= is_own
    places = np.empty_like(last)
    places[by_sight] = last
    return places


def _latest_flag(flags: BoolArray) -> IntArray:
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), 0))
