"""Ragged groups of candidate asks: one group a decision, one row a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

NOTHING: Final = -1
"""Ask index of the null candidate: asking nothing."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """The candidates of ``n`` decisions in ``m`` rows, group by group.

    Attributes:
        offsets: shape (n + 1,); group ``i`` is rows ``offsets[i]:offsets[i + 1]``; no group is empty.
        asks: shape (m,); index into the catalog's asks, or ``NOTHING``.
        baseline: shape (n,); the row (not the ask) of the baseline's ask in each group, -1 where it is not there.
        direct: shape (n,); the row of the goal ask in each group, -1 where it is not there.
        features: shape (m, k) for scorers that use features, else ``None``.
    """

    offsets: IntArray
    asks: IntArray
    baseline: IntArray
    direct: IntArray
    features: FloatArray | None = None

    @property
    def sizes(self) -> IntArray:
        """Number of candidates of each decision, shape (n,)."""
        return np.diff(self.offsets)

    @property
    def groups(self) -> IntArray:
        """The decision each row belongs to, shape (m,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.sizes)
