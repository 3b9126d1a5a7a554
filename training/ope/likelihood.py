"""Empirical-likelihood intervals of a mean, under known means and a known support.

All distributions on the possible points are considered whose control variates have expectation 0. A value ``v`` is in
the interval when some distribution with expectation ``v`` makes the log nearly as likely as the best one does: when
twice the difference in log likelihood is at most the chi-square quantile. By duality, with ``u`` the controls,

    logLR(v) = max over (lambda, mu) of  sum_i log(1 + lambda u_i + mu (x_i - v)),

over all (lambda, mu) for which no *possible* point makes the logarithm's argument negative, seen or not. Points that
were not seen carry a very small weight, ``UNSEEN``, which keeps the maximum inside that region and changes logLR by
less than a hundredth.

References:
    N. Karampatziakis, J. Langford, P. Mineiro (2020), Empirical likelihood for contextual bandits. NeurIPS.
    A. B. Owen (2001), Empirical Likelihood. Chapman & Hall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.ope.logged import FloatArray

UNSEEN: Final = 1e-3
"""Weight of a possible point that was not seen, where a seen one has 1."""
_BEYOND: Final = 60.0
"""A log likelihood ratio this large is outside every interval; looking further is no use."""
_BEYOND_DOUBT: Final = 24.0
"""Exceeded by twice the log likelihood ratio of a true hypothesis once in a million logs (chi-square, 1 degree)."""
_MAX_STEPS: Final = 60


@dataclass(frozen=True, eq=False)
class Points:
    """What was seen and what is possible.

    Attributes:
        x: (m,) contributions, summed over a cluster.
        u: (m, k) control variates of expectation 0, summed over a cluster.
        size: (m,) number of episodes in the cluster.
        possible_x: (c,) contributions of the extreme possible points, one episode each.
        possible_u: (c, k) their control variates.
        low: smallest possible mean.
        high: largest possible mean.
    """

    x: FloatArray
    u: FloatArray
    size: FloatArray
    possible_x: FloatArray
    possible_u: FloatArray
    low: float
    high: float


def bounds(points: Points, quantile: float) -> tuple[float, float] | None:
    """Lower and upper end of the interval; None where the log contradicts the known means beyond doubt.

    Args:
        points: what was seen and what is possible.
        quantile: the largest accepted value of twice the log likelihood ratio; 3.84 for 95 %.

    Example:
        >>> ten = Points(np.array([1.0] * 3 + [0.0] * 7), np.zeros((10, 0)), np.ones(10),
        ...              np.array([0.0, 1.0]), np.zeros((2, 0)), 0.0, 1.0)
        >>> low, high = bounds(ten, 3.841) or (0.0, 0.0)
        >>> round(low, 2), round(high, 2)
        (0.08, 0.61)
    """
    profile = _Profile(points)
    if 2 * profile.contradiction > _BEYOND_DOUBT:
        return None
    return profile.end(-1.0, quantile), profile.end(1.0, quantile)


class _Profile:
    """The log likelihood ratio as a function of the mean."""

    def __init__(self, points: Points) -> None:
        self._low, self._high = points.low, points.high
        x = np.concatenate([points.x, points.possible_x])
        u = np.concatenate([points.u, points.possible_u])
        size = np.concatenate([points.size, np.ones(len(points.possible_x))])
        count = np.concatenate([np.ones(len(points.x)), np.full(len(points.possible_x), UNSEEN)])
        # the largest cluster is possible too: the same constraint, further out
        largest = float(points.size.max())
        stretch = np.where(np.arange(len(x)) < len(points.x), 1.0, largest)
        x, u, size = x * stretch, u * stretch[:, None], size * stretch
        # a point that lies far out is divided by its distance: the argument's sign stays, the numbers stay moderate
        self._x_scale = float(np.sqrt(np.average(points.x**2) / np.average(points.size**2))) or 1.0
        u_scale = np.sqrt(np.mean(points.u**2, axis=0)) if len(points.u) else np.ones(u.shape[1])
        u = u / np.where(u_scale > 0, u_scale, 1.0)
        x = x / self._x_scale
        far = np.maximum(1.0, np.maximum(np.abs(x), np.abs(u).max(axis=1, initial=0.0)))
        self._shrink = np.where(np.arange(len(x)) < len(points.x), 1.0, far)
        self._count, self._one = count, 1.0 / self._shrink
        self._u, self._x, self._size = u / self._shrink[:, None], x / self._shrink, size / self._shrink
        self._multipliers = np.zeros(u.shape[1] + 1)
        start, self._start = self._maximum(self._u, np.zeros(u.shape[1]), math.inf)
        self._best = start
        self.contradiction = start - float(count @ np.log(self._one))
        """Log likelihood ratio of the known means being as known."""
        mass = count / (self._one + self._u @ self._start) * self._one
        self._center = float(np.sum(mass * x) / np.sum(mass * size)) * self._x_scale

    def end(self, side: float, quantile: float) -> float:
        """The lower (-1) or upper (1) end of the interval."""
        edge = self._low if side < 0 else self._high
        center = min(max(self._center, self._low), self._high)
        self._multipliers = np.append(self._start, 0.0)
        root = math.sqrt(quantile)

        def excess(v: float) -> float:
            return math.sqrt(2 * max(self._ratio(v), 0.0)) - root

        reach = side * max(abs(center), self._x_scale / math.sqrt(len(self._x))) * 0.5
        inside, outside = center, center + reach
        while side * (edge - outside) > 0 and excess(outside) <= 0:
            inside, outside = outside, center + 2 * (outside - center)
        if side * (edge - outside) <= 0:
            outside = edge
            if inside == edge or excess(edge) <= 0:
                return edge
        return _crossing(excess, inside, outside)

    def _ratio(self, v: float) -> float:
        """logLR(v), capped."""
        rows = np.column_stack([self._u, self._x - v / self._x_scale * self._size])
        found, multipliers = self._maximum(rows, self._multipliers, self._best + _BEYOND)
        if found <= self._best + _BEYOND:
            self._multipliers = multipliers
        return min(found - self._best, _BEYOND)

    def _slopes(self, scaled: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient and negative Hessian from rows divided by their arguments."""
        return self._count @ scaled, (scaled * self._count[:, None]).T @ scaled

    def _maximum(self, rows: FloatArray, start: FloatArray, enough: float) -> tuple[float, FloatArray]:
        """Newton's method with step halving for ``max sum count log(one + rows @ multipliers)``."""
        multipliers = start
        argument = self._one + rows @ multipliers
        if not (argument > 0).all():
            multipliers, argument = np.zeros_like(start), self._one
        value = float(self._count @ np.log(argument))
        for _ in range(_MAX_STEPS if len(start) else 0):
            # beyond all numbers: what was found so far is a lower bound of the maximum, which only widens the interval
            with np.errstate(all="ignore"):
                gradient, curvature = self._slopes(rows / argument[:, None])
            if not (np.isfinite(curvature).all() and np.isfinite(gradient).all()):
                break
            step = np.linalg.lstsq(curvature, gradient, rcond=1e-14)[0]
            gain = float(gradient @ step)
            if gain < 1e-7 or value > enough:
                break
            size, improved = 1.0, False
            change = rows @ step
            while size > 1e-12:
                tried = argument + size * change
                if tried.min() > 0:
                    now = float(self._count @ np.log(tried))
                    if now >= value + 1e-4 * size * gain:
                        improved = True
                        break
                size *= 0.5
            if not improved:
                break
            multipliers, argument, value = multipliers + size * step, tried, now
        return value, multipliers


def _crossing(excess: Callable[[float], float], inside: float, outside: float) -> float:
    """Where ``excess`` stops being at most 0, from the outside; regula falsi, halving where that does not help.

    Unlike a textbook root finder it survives a function that is rough in its last digits.
    """
    below, above = min(excess(inside), 0.0), max(excess(outside), 0.0)
    tolerance = max(1e-5 * abs(outside - inside), 1e-14 * abs(outside))
    for i in range(_MAX_STEPS):
        if abs(outside - inside) <= tolerance or above <= 0:
            break
        share = 0.5 if i % 3 == 2 or below >= 0 else min(max(above / (above - below), 0.02), 0.98)
        tried = outside + share * (inside - outside)
        found = excess(tried)
        if found <= 0:
            inside, below = tried, found
        else:
            outside, above = tried, found
    return outside
