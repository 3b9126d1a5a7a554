"""Doubly robust estimators that give up the largest weights, for tables of one decision an episode.

References:
    Y.-X. Wang, A. Agarwal, M. Dudik (2017), Optimal and adaptive off-policy evaluation in contextual bandits. ICML.
    Y. Su, M. Dimakopoulou, A. Krishnamurthy, M. Dudik (2020), Doubly robust off-policy evaluation with shrinkage. ICML.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from training.ope.doubly_robust import DoublyRobust, values_of
from training.ope.logged import FloatArray
from training.ope.terms import Terms
from training.ope.weights import Weighted

_GRID = np.linspace(0.5, 1.0, 26)


@dataclass(frozen=True)
class SwitchDoublyRobust:
    """``mean(V + w 1[w <= tau] (r - q))``.

    Attributes:
        tau: largest weight that is kept. None: of the upper half of the weights seen, the one with the smallest
            estimated squared error (variance of the mean plus squared estimated bias, Su et al. 2020, section 5).
    """

    tau: float | None = None
    name: str = "switch_dr"
    needs_values: bool = True
    is_one_step: bool = True

    def terms(self, log: Weighted) -> Terms:
        """Takes the estimate apart; see ``Estimator``."""
        grid = np.quantile(log.w, _GRID)
        return _shrunk(log, lambda w, tau: np.where(w <= tau, w, 0.0), self.tau, grid)


@dataclass(frozen=True)
class ShrunkDoublyRobust:
    """``mean(V + lambda w / (w^2 + lambda) (r - q))``: optimistic shrinkage.

    Attributes:
        lam: lambda; the larger, the less is shrunk. None: chosen as ``tau`` of ``SwitchDoublyRobust`` is.
    """

    lam: float | None = None
    name: str = "dr_os"
    needs_values: bool = True
    is_one_step: bool = True

    def terms(self, log: Weighted) -> Terms:
        """Takes the estimate apart; see ``Estimator``."""
        grid = np.quantile(log.w, _GRID) ** 2 * 10
        return _shrunk(log, _optimistic, self.lam, grid)


def _optimistic(w: FloatArray, lam: float) -> FloatArray:
    divisor = w * w + lam
    shrunk: FloatArray = np.divide(lam * w, divisor, out=np.zeros_like(w), where=divisor > 0)
    return shrunk


def _shrunk(
    log: Weighted, kept: Callable[[FloatArray, float], FloatArray], size: float | None, grid: FloatArray
) -> Terms:
    """The estimate with weights ``kept(w, size)``; contributions and their support stay the doubly robust ones.

    Less variance is bought with a bias that no interval around the shrunk value would hold. So the interval is the
    doubly robust one.
    """
    full = DoublyRobust("dr").terms(log)
    q, v = values_of(log)
    surprise = log.steps.reward - q

    def contributions(at: float) -> FloatArray:
        return v + kept(log.w, at) * surprise

    def squared_error(at: float) -> float:
        x = contributions(at)
        return float(x.var() / len(x) + (full.x - x).mean() ** 2)

    x = contributions(min(grid.tolist(), key=squared_error) if size is None else size)
    return replace(full, value=float(x.mean()))
