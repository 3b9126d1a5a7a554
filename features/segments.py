"""Arithmetic on sequences that lie end to end in one array: nothing ever crosses a border between two of them.

Conventions: ``groups`` numbers the sequence of each row, 0 first, never falling. A *prefix* array has one item more
than there are rows; its item ``j`` is about the rows before ``j``. Instants are positive, 0 means "never".
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_ROOM: Final = 2**62


def stable_order(keys: IntArray) -> IntArray:
    """The order that sorts ``keys``, ties by position.

    Sorting numbers that hold key and position is several times faster than a stable argsort.

    Example:
        >>> stable_order(np.array([7, 5, 7, 5])).tolist()
        [1, 3, 0, 2]
    """
    n = len(keys)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    low, high = int(keys.min()), int(keys.max())
    bits = n.bit_length()
    if high - low >= _ROOM >> bits:
        return np.argsort(keys, kind="stable")
    packed = keys - low
    packed <<= bits
    packed |= np.arange(n)
    packed.sort()
    packed &= (1 << bits) - 1
    return packed


def prefix_sum(values: npt.NDArray[Any]) -> IntArray:
    """Sums of the items before each position; ``sums[b] - sums[a]`` is the sum of ``values[a:b]``.

    Example:
        >>> prefix_sum(np.array([True, False, True])).tolist()
        [0, 1, 1, 2]
    """
    sums = np.empty(len(values) + 1, dtype=np.int64)
    sums[0] = 0
    np.cumsum(values, out=sums[1:])
    return sums


def last_before(flags: BoolArray) -> IntArray:
    """For each position, the last flagged row before it, -1 where there is none; a prefix array.

    It looks across borders: compare with the start of the sequence.

    Example:
        >>> last_before(np.array([False, True, False])).tolist()
        [-1, -1, 1, 1]
    """
    last = np.empty(len(flags) + 1, dtype=np.int64)
    last[0] = -1
    np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1), out=last[1:])
    return last


def shifted(values: IntArray, groups: IntArray) -> IntArray:
    """The value of the row before in the same sequence, 0 on its first row.

    Example:
        >>> shifted(np.array([5, 6, 7]), np.array([0, 0, 1])).tolist()
        [0, 5, 0]
    """
    before = np.zeros_like(values)
    before[1:] = values[:-1]
    before[1:][groups[1:] != groups[:-1]] = 0
    return before


def running_max(values: IntArray, groups: IntArray) -> IntArray:
    """The largest value of the sequence so far, for values that are 0 or greater.

    Most sequences rise anyway; only those with a fall are worked on.

    Example:
        >>> running_max(np.array([3, 1, 4, 2]), np.array([0, 0, 0, 1])).tolist()
        [3, 3, 4, 2]
    """
    falls = (values[1:] < values[:-1]) & (groups[1:] == groups[:-1])
    if not falls.any():
        return values
    is_falling = np.zeros(int(groups[-1]) + 1, dtype=np.bool_)
    is_falling[groups[1:][falls]] = True
    rows = np.flatnonzero(is_falling[groups])
    result = values.copy()
    result[rows] = _accumulated(values[rows], (np.cumsum(is_falling) - 1)[groups[rows]])
    return result


def running_min(values: IntArray, groups: IntArray) -> IntArray:
    """The smallest value of the sequence so far, for values greater than 0.

    Example:
        >>> running_min(np.array([3, 1, 4, 2]), np.array([0, 0, 0, 1])).tolist()
        [3, 1, 1, 2]
    """
    if len(values) == 0:
        return values
    mirror = int(values.max()) + 1
    return mirror - running_max(mirror - values, groups)


def first_at_least(values: IntArray, low: IntArray, high: IntArray, floor: IntArray) -> IntArray:
    """The first row in ``low:high`` whose value is at least ``floor``, else ``high``; values rise in each slice.

    One binary search for each slice, all of them step by step together.

    Example:
        >>> values = np.array([10, 20, 30, 5, 15])
        >>> first_at_least(values, np.array([0, 3]), np.array([3, 5]), np.array([20, 16])).tolist()
        [1, 5]
    """
    low, high = low.copy(), high.copy()
    while True:
        is_open = low < high
        if not is_open.any():
            return low
        middle = (low + high) >> 1
        is_below = values[np.minimum(middle, len(values) - 1)] < floor
        low = np.where(is_open & is_below, middle + 1, low)
        high = np.where(is_open & ~is_below, middle, high)


def _accumulated(values: IntArray, groups: IntArray) -> IntArray:
    """The running maximum by lifting every sequence above the one before it.

    64 bits hold few sequences of microseconds, so they are taken in blocks.
    """
    low = int(values.max(where=values > 0, initial=1))
    low = int(values.min(where=values > 0, initial=low))
    lifted = np.where(values > 0, values - (low - 1), 0)
    span = int(lifted.max()) + 1
    block = max(1, _ROOM // span)
    borders = np.searchsorted(groups, np.arange(0, int(groups[-1]) + 1, block)).tolist()
    for start, stop in zip(borders, [*borders[1:], len(groups)], strict=True):
        if start < stop:
            lift = (groups[start:stop] - groups[start]) * span
            rows = lifted[start:stop]
            rows += lift
            np.maximum.accumulate(rows, out=rows)
            rows -= lift
    return np.where(lifted > 0, lifted + (low - 1), 0)
