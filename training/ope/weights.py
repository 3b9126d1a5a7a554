"""Importance weights of a log: cumulated ratios, carried on after an episode has ended."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from data.errors import BadInput
from training.ope.logged import FloatArray, IntArray, LoggedSteps

LARGEST_WEIGHT: Final = 1e100
"""A weight beyond this is refused: its square, times a squared reward, would no longer be a finite number.
A weight below its inverse is 0."""
UNBOUNDED: Final = 1e12
"""The largest possible weight where nothing smaller is known: so large that it is as good as no bound."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """A log with its weights.

    ``w_t`` is the product of the ratios of steps 0 to t; after the last step of an episode it stays what it was, so
    that every episode has a weight at every step and means at a step run over all episodes.

    Attributes:
        steps: the log.
        discount: what a reward loses from one step to the next, in [0, 1].
        w: (n,) w_t.
        before: (n,) w_{t-1}; 1 at step 0.
        decay: (n,) discount to the power of the step.
        final: (E,) weight of the whole episode.
        last: (E,) number of the last step.
        mean_at: (T,) mean of w_t over all episodes.
        largest_at: (T,) largest weight an episode can have at or before each step.
    """

    steps: LoggedSteps
    discount: float
    w: FloatArray
    before: FloatArray
    decay: FloatArray
    final: FloatArray
    last: IntArray
    mean_at: FloatArray
    largest_at: FloatArray

    def per_episode(self, rows: FloatArray) -> FloatArray:
        """(E,) sums of a row-wise quantity over each episode."""
        return np.bincount(self.steps.episode, rows, minlength=self.steps.n_episodes).astype(np.float64, copy=False)

    def per_step(self, rows: FloatArray) -> FloatArray:
        """(T,) sums of a row-wise quantity over each step."""
        return np.bincount(self.steps.step, rows, minlength=self.steps.n_steps).astype(np.float64, copy=False)

    def carried(self, shares: FloatArray) -> FloatArray:
        """(E,) sum over all T steps of ``shares[t] * w_t``, carried weights included; ``shares`` has shape (T,)."""
        after = np.append(np.cumsum(shares[::-1])[::-1][1:], 0.0)
        sums: FloatArray = self.per_episode(shares[self.steps.step] * self.w) + self.final * after[self.last]
        return sums

    def returns(self) -> FloatArray:
        """(E,) discounted sums of rewards."""
        return self.per_episode(self.decay * self.steps.reward)


def weighted(logged: LoggedSteps, discount: float = 1.0) -> Weighted:
    """Computes the weights of a log.

    Raises:
        BadInput: ``discount`` is not in [0, 1], or a weight grows beyond every usable number.

    Example:
        >>> logged = LoggedSteps(
        ...     episode=np.array([0, 0, 1]), step=np.array([0, 1, 0]), reward=np.zeros(3),
        ...     propensity=np.array([0.5, 0.5, 0.5]), target=np.array([1.0, 0.25, 0.5]))
        >>> log = weighted(logged)
        >>> log.w.tolist(), log.before.tolist(), log.mean_at.tolist()
        ([2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.5, 1.0])
    """
    if not 0 <= discount <= 1:
        raise BadInput(f"discount: received {discount}; allowed: a number from 0 to 1")
    last_row = np.append(np.flatnonzero(np.diff(logged.episode)), len(logged.episode) - 1)
    w = _cumulated(logged, logged.ratio)
    too_large = np.flatnonzero(~(w <= LARGEST_WEIGHT))
    if too_large.size:
        row = too_large[0]
        raise BadInput(
            f"propensity: the weight of episode {logged.episode[row]} grows to {w[row]:g} at step {logged.step[row]}; "
            f"allowed: at most {LARGEST_WEIGHT:g}"
        )
    w[w < 1 / LARGEST_WEIGHT] = 0.0
    before = np.where(logged.step == 0, 1.0, np.roll(w, 1))
    final, last = w[last_row], logged.step[last_row]
    n = logged.n_episodes
    ended = np.cumsum(np.bincount(last, final, minlength=logged.n_steps))
    mean_at = (np.bincount(logged.step, w, minlength=logged.n_steps) + np.append(0.0, ended[:-1])) / n
    decay = np.power(discount, logged.step.astype(np.float64))
    return Weighted(logged, discount, w, before, decay, final, last, mean_at, _largest_at(logged, w))


def _cumulated(logged: LoggedSteps, ratio: FloatArray) -> FloatArray:
    """(n,) running products within each episode; step by step, so that a zero stays a zero."""
    w = ratio.copy()
    order = np.argsort(logged.step, kind="stable")
    ends = np.cumsum(np.bincount(logged.step))
    with np.errstate(over="ignore", invalid="ignore"):
        for start, end in pairwise(ends.tolist()):
            rows = order[start:end]
            w[rows] *= w[rows - 1]
    return w


def _largest_at(logged: LoggedSteps, w: FloatArray) -> FloatArray:
    """(T,) the largest weight that could have been seen up to each step.

    With ``max_ratio``: the largest product of it over any logged episode. Without: the product over the steps of the
    largest ratio seen at each.
    """
    ratio = logged.ratio if logged.max_ratio is None else np.maximum(logged.max_ratio, logged.ratio)
    at_step: FloatArray = np.zeros(logged.n_steps)
    with np.errstate(over="ignore", invalid="ignore"):
        if logged.max_ratio is None:
            np.maximum.at(at_step, logged.step, ratio)
            at_step = np.cumprod(at_step, dtype=np.float64)
        else:
            np.maximum.at(
                at_step, logged.step, np.nan_to_num(_cumulated(logged, ratio), nan=UNBOUNDED, posinf=UNBOUNDED)
            )
    bounded = np.minimum(np.nan_to_num(at_step, nan=UNBOUNDED, posinf=UNBOUNDED), UNBOUNDED)
    np.maximum.at(bounded, logged.step, w)
    largest = np.maximum.accumulate(bounded)
    if bool((w == 1).all()) and bool((ratio == 1).all()):
        return largest
    # a mean of 1 needs weights above 1 somewhere: where none can be, what carries them was never logged
    return np.where(largest > 1, largest, UNBOUNDED)
