"""Sums, maxima and one-hot rows over ragged groups, group by group and nothing else.

No result depends on which other groups are in the batch, to the last bit: sums run in row order (``bincount``),
maxima are exact, and everything else is elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policy.candidates import Candidates, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Segments:
    """The rows of ``n`` groups, none of them empty.

    Attributes:
        starts: first row of each group, shape (n,).
        sizes: number of rows of each group, as floats, shape (n,).
        groups: the group of each row, shape (m,).
    """

    starts: IntArray
    sizes: FloatArray
    groups: IntArray

    @classmethod
    def of(cls, candidates: Candidates) -> Segments:
        """The groups of candidates.

        Raises:
            ValueError: a group is empty, or the offsets do not span the rows.
        """
        offsets = candidates.offsets
        starts = offsets[:-1]
        sizes = offsets[1:] - starts
        n_rows = len(candidates.asks)
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != n_rows or (len(sizes) and sizes.min() <= 0):
            raise ValueError(f"every group needs a candidate, in offsets from 0 to {n_rows}; received {offsets}")
        return cls(starts, sizes.astype(np.float64), np.repeat(np.arange(len(starts)), sizes))

    def sums(self, values: FloatArray) -> FloatArray:
        """The sum of each group, shape (n,)."""
        return np.bincount(self.groups, values, len(self.starts)).astype(np.float64, copy=False)

    def maxima(self, values: FloatArray) -> FloatArray:
        """The largest value of each group, shape (n,)."""
        return np.maximum.reduceat(values, self.starts) if len(values) else np.empty(0)

    def minima(self, values: FloatArray) -> FloatArray:
        """The smallest value of each group, shape (n,)."""
        return np.minimum.reduceat(values, self.starts) if len(values) else np.empty(0)

    def first_rows(self, claims: npt.NDArray[np.bool_]) -> IntArray:
        """The first row of each group for which a claim holds; it must hold for one at least, shape (n,)."""
        rows = claims.nonzero()[0]
        return rows[rows.searchsorted(self.starts)]

    def fill(self, probabilities: FloatArray, rows: IntArray) -> FloatArray:
        """Gives ``rows``, at most one a group, what the others of their group leave of 1.

        A row keeps at least what it had, which rounding could otherwise take from it. Changes and returns the array.
        """
        least = probabilities[rows]
        probabilities[rows] = 0.0
        probabilities[rows] = np.maximum(1.0 - self.sums(probabilities)[self.groups[rows]], least)
        return probabilities
