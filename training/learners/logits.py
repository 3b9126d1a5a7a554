"""Log-odds as sums over what is known, for every ask its own: ridge logistic regression over plain columns.

Evidence about a hidden trait adds up in log-odds (naive Bayes): a yes here, a hint there. A sum learns that from a few
hundred answers, where trees, which must cut for every combination, need thousands. Trees then learn what is left.

Two layers, so that an ask that was seldom shown is judged by what it is like: one sum for all asks, and for each ask a
deviation from it, both drawn to 0::

    logit p(x, a) = w . z(x) + d_a . z(x),    minimizing  -log likelihood + penalty / 2 |w|^2, then the same for d_a

``z``: categories, outcomes and numbers of up to three values as indicators; other numbers standardized and clipped.
Ages and the time of day are left to the trees: their effects are no straight lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from features.columns import FloatArray
from features.spec import ANSWERS, CONTEXT, HISTORY
from features.summary import IntArray
from training.trees import Forestry

TermArray = npt.NDArray[np.float32]

_ASK: Final = "ask"
_CURVED: Final = ("since", "time.")
"""What the names of ages and times of day have in them."""
_LIMIT: Final = 4.0
_MOST_LEVELS: Final = 40
_FEWEST: Final = 30
_STEPS: Final = 12
_HALVINGS: Final = 6


class Term(NamedTuple):
    """A column of z: an indicator of ``value``, or (``scale`` > 0) a number less ``value``, divided by ``scale``."""

    column: int
    value: float
    scale: float = 0.0


@dataclass(frozen=True, eq=False)
class Terms:
    """The columns of z, the last of which is always 1, and where the ask is among the features."""

    terms: tuple[Term, ...]
    ask: int

    @classmethod
    def of(cls, features: FloatArray, forestry: Forestry) -> Terms:
        """Terms for features like these; columns that never change, and those that are ignored, have none."""
        terms: list[Term] = []
        for column, name in enumerate(forestry.names):
            is_input = name.startswith((CONTEXT, ANSWERS, HISTORY))
            if column not in forestry.ignored and (is_input or not any(part in name for part in _CURVED)):
                is_levels = column in forestry.categorical or name.startswith(HISTORY)
                terms += _terms(column, features[:, column], is_levels=is_levels)
        return cls(tuple(terms), forestry.names.index(_ASK))

    def of_rows(self, features: FloatArray) -> TermArray:
        """The terms of each row, shape (n, number of terms + 1)."""
        z = np.ones((len(features), len(self.terms) + 1), dtype=np.float32, order="F")
        for place, term in enumerate(self.terms):
            values = features[:, term.column]
            if term.scale == 0.0:
                z[:, place] = values == term.value
            else:
                scaled = (values - term.value) / term.scale
                z[:, place] = np.clip(np.nan_to_num(scaled, nan=0.0), -_LIMIT, _LIMIT)
        return z

    def asks(self, features: FloatArray) -> IntArray:
        """Codes of the asks, -1 where there is none."""
        return np.nan_to_num(features[:, self.ask], nan=-1.0).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Sums:
    """Fitted sums: ``weights`` (asks + 1, number of terms + 1), the last row for asks that have none of their own.

    ``is_logit``: they are log-odds, else values.
    """

    weights: FloatArray
    is_logit: bool

    @classmethod
    def fit(
        cls, z: TermArray | FloatArray, asks: IntArray, targets: FloatArray, *, penalty: float, is_logit: bool = True
    ) -> Sums:
        """Learns from rows of terms, the asks they are about, and targets (from 0 to 1 for log-odds)."""
        shared = _ridge(z, targets, np.zeros(len(z)), penalty, is_logit=is_logit)
        offset = z @ shared
        weights = np.tile(shared, (int(asks.max(initial=-1)) + 2, 1))
        for ask in np.unique(asks[asks >= 0]):
            rows = asks == ask
            if rows.sum() >= _FEWEST:
                weights[ask] += _ridge(z[rows], targets[rows], offset[rows], penalty, is_logit=is_logit)
        return cls(weights, is_logit)

    def of_rows(self, z: TermArray | FloatArray, asks: IntArray) -> FloatArray:
        """The sum of each row."""
        known = np.where(asks < len(self.weights) - 1, asks, -1)
        found = np.empty(len(z))
        for ask in np.unique(known):
            rows = np.flatnonzero(known == ask)
            found[rows] = z[rows] @ self.weights[ask].astype(z.dtype)
        return found

    def predict(self, z: TermArray | FloatArray, asks: IntArray) -> FloatArray:
        """The probability or value of each row."""
        sums = self.of_rows(z, asks)
        return sigmoid(sums) if self.is_logit else sums


def sigmoid(logits: FloatArray) -> FloatArray:
    """Probabilities of log-odds.

    Example:
        >>> sigmoid(np.array([0.0, 1000.0])).tolist()
        [0.5, 1.0]
    """
    p: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(logits, -50.0, 50.0)))
    return p


def _terms(column: int, values: FloatArray, *, is_levels: bool) -> list[Term]:
    known = values[~np.isnan(values)]
    levels, counts = np.unique(known, return_counts=True)
    if len(levels) == 0 or (len(levels) == 1 and len(known) == len(values)):
        return []
    if is_levels or len(levels) <= 3:
        return [Term(column, float(level)) for level in levels[np.argsort(-counts, kind="stable")][:_MOST_LEVELS]]
    return [Term(column, float(known.mean()), max(float(known.std()), 1e-9))]


def _ridge(
    z: TermArray | FloatArray, targets: FloatArray, offset: FloatArray, penalty: float, *, is_logit: bool
) -> FloatArray:
    """Newton's method for the penalized likelihood; for values it needs one step."""
    z = z.astype(np.float64)
    weights = np.zeros(z.shape[1])
    best = _loss(z, targets, offset, weights, penalty) if is_logit else np.inf
    for _ in range(_STEPS if is_logit else 1):
        sums = z @ weights + offset
        means = sigmoid(sums) if is_logit else sums
        spread = np.maximum(means * (1.0 - means), 1e-6) if is_logit else np.ones(len(sums))
        curvature = z.T @ (z * spread[:, None]) + penalty * np.eye(len(weights))
        step = np.linalg.solve(curvature, z.T @ (targets - means) - penalty * weights)
        if not is_logit:
            return weights + step
        for _ in range(_HALVINGS):
            reached = _loss(z, targets, offset, weights + step, penalty)
            if reached <= best:
                break
            step = step / 2.0
        else:
            break
        weights, gained, best = weights + step, best - reached, reached
        if gained < 1e-6 * max(1.0, abs(best)):
            break
    return weights


def _loss(
    z: TermArray | FloatArray, targets: FloatArray, offset: FloatArray, weights: FloatArray, penalty: float
) -> float:
    sums = z @ weights + offset
    return float(np.logaddexp(0.0, sums).sum() - targets @ sums + 0.5 * penalty * (weights @ weights))
