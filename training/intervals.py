"""Intervals for rates, medians and differences that need no resampling and behave at small numbers.

Every function answers with an ``Interval``: the estimate and its bounds, or, where there is none, ``None`` and the
reason in plain words. Nothing here ever returns NaN.

References:
    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference. JASA 22.
    R. G. Newcombe (1998), Interval estimation for the difference between independent proportions. Statistics in
        Medicine 17, method 10.
    H. A. David, H. N. Nagaraja (2003), Order Statistics, section 7.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate from ``n`` observations; ``low`` and ``high`` bound it at ``level``.

    ``reason`` says why ``value`` or the bounds are ``None``.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    level: float = LEVEL
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """Plain values; ``reason`` only where there is one."""
        plain: dict[str, object] = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        return plain if self.reason is None else {**plain, "reason": self.reason}


def wilson(successes: int, n: int, level: float = LEVEL, *, empty: str = "nothing was observed") -> Interval:
    """Wilson's score interval of a rate.

    Formula: ``(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)``.

    Args:
        successes: how often it happened, 0 to ``n``.
        n: how often it could have happened.
        level: the coverage, between 0 and 1.
        empty: the reason given when ``n`` is 0.

    Raises:
        ValueError: ``successes`` is not between 0 and ``n``, or ``level`` not between 0 and 1.

    Example:
        >>> rate = wilson(3, 10)
        >>> rate.value, round(rate.low, 3), round(rate.high, 3)
        (0.3, 0.108, 0.603)
    """
    z = _z(level)
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be from 0 to n = {n}, got {successes}")
    if n == 0:
        return Interval(None, None, None, 0, level, empty)
    p = successes / n
    center = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (center - half) / scale)
    high = 1.0 if successes == n else min(1.0, (center + half) / scale)
    return Interval(p, low, high, n, level)


def difference(first: tuple[int, int], second: tuple[int, int], level: float = LEVEL) -> Interval:
    """Newcombe's interval of the difference of two independent rates, ``first - second``.

    Args:
        first: successes and number of observations.
        second: the same for the other rate.
        level: the coverage, between 0 and 1.

    Example:
        >>> gap = difference((56, 70), (48, 80))
        >>> round(gap.value, 4), round(gap.low, 4), round(gap.high, 4)
        (0.2, 0.0524, 0.3339)
    """
    a, b = wilson(*first, level), wilson(*second, level)
    n = a.n + b.n
    if a.value is None or a.low is None or a.high is None:
        return Interval(None, None, None, n, level, "there is nothing in the first group to compare")
    if b.value is None or b.low is None or b.high is None:
        return Interval(None, None, None, n, level, "there is nothing in the second group to compare")
    gap = a.value - b.value
    down = math.hypot(a.value - a.low, b.high - b.value)
    up = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(gap, max(-1.0, gap - down), min(1.0, gap + up), n, level)


def quantile(
    values: Sequence[float] | npt.NDArray[np.float64], q: float = 0.5, level: float = LEVEL, *, empty: str = "no values"
) -> Interval:
    """A quantile with an interval between two order statistics, whatever the distribution.

    The bounds are the ``l``-th and ``u``-th smallest values with the largest ``l`` for which ``P(B < l)`` and the
    smallest ``u`` for which ``P(B >= u)`` are at most ``(1 - level) / 2``, ``B`` being binomial with ``n`` and ``q``:
    the coverage is at least ``level``. Too few values have no such pair: then there are no bounds (the median needs
    6 values at 95 %).

    Raises:
        ValueError: ``q`` or ``level`` is not between 0 and 1, or a value is not finite.

    Example:
        >>> quantile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        Interval(value=5.5, low=2.0, high=9.0, n=10, level=0.95, reason=None)
    """
    if not 0 < q < 1:
        raise ValueError(f"q must lie between 0 and 1, got {q}")
    _z(level)
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not np.isfinite(ordered).all():
        raise ValueError("values must be finite")
    n = len(ordered)
    if n == 0:
        return Interval(None, None, None, 0, level, empty)
    value = float(np.quantile(ordered, q))
    lower, upper = _ranks(n, q, (1 - level) / 2)
    if lower < 1 or upper > n:
        return Interval(value, None, None, n, level, f"too few for an interval: {n}")
    return Interval(value, float(ordered[lower - 1]), float(ordered[upper - 1]), n, level)


def _ranks(n: int, q: float, tail: float) -> tuple[int, int]:
    """Ranks ``l`` and ``u`` (from 1) of the bounds; 0 or n + 1 where there is none."""
    below = _binomial_cdf(n, q)
    # P(B < l) = below[l - 1] <= tail, P(B >= u) = 1 - below[u - 1] <= tail
    lower = int(np.searchsorted(below, tail, side="right"))
    upper = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return lower, upper


def _binomial_cdf(n: int, q: float) -> npt.NDArray[np.float64]:
    """P(B <= k) for k = 0 .. n, from logarithms, so that no term underflows before it is added."""
    k = np.arange(1, n + 1, dtype=np.float64)
    steps = np.log(n - k + 1) - np.log(k) + math.log(q) - math.log1p(-q)
    log_pmf = np.concatenate([[0.0], np.cumsum(steps)]) + n * math.log1p(-q)
    below: npt.NDArray[np.float64] = np.minimum(np.cumsum(np.exp(log_pmf)), 1.0)
    return below


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return NormalDist().inv_cdf((1 + level) / 2)
