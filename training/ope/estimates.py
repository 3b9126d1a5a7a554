"""Off-policy estimates with intervals, their differences, and how much of the log speaks about the target policy.

Example:
    A log of one-step episodes under a fair coin; the target policy always takes the second of two actions.

    >>> rng = np.random.default_rng(1)
    >>> took_second = rng.random(2_000) < 0.5
    >>> logged = LoggedSteps(
    ...     episode=np.arange(2_000), step=np.zeros(2_000, dtype=np.int64),
    ...     reward=(rng.random(2_000) < np.where(took_second, 0.06, 0.02)).astype(float),
    ...     propensity=np.full(2_000, 0.5), target=took_second.astype(float))
    >>> found = estimate(logged, names=["ips"])["ips"]
    >>> found.low < 0.06 < found.high
    True
    >>> diagnostics(logged).max_weight
    2.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from scipy.stats import t as student

from data.errors import BadInput
from training.intervals import LEVEL, Interval
from training.ope.estimators import ESTIMATORS, Tuning
from training.ope.likelihood import Points, bounds
from training.ope.logged import FloatArray, LoggedSteps
from training.ope.terms import NoEstimateError, Terms
from training.ope.weights import Weighted, weighted

ENOUGH_CONVERSIONS: Final = 150.0
"""Effective conversions above which a t interval is used."""
ONE_CLUSTER: Final = "no interval: one episode, or one cluster, shows no spread"
CONTRADICTED: Final = (
    "no interval: the weights should average 1 and are too far from it for chance; propensities or targets are wrong"
)
NO_INTERVAL: Final = {
    "dm": "no interval: the spread of predictions over episodes says nothing about how wrong the predictions are"
}


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """How much of a log speaks about the target policy.

    Attributes:
        effective_sample_size: ``(sum w)^2 / sum w^2`` of the episodes' final weights; 0 where all of them are 0.
        effective_conversions: ``(sum |w R|)^2 / sum (w R)^2`` with R the episode's return: as many equally weighted
            conversions would tell as much; 0 where none is matched.
        max_weight: largest final weight.
        n_episodes: episodes in the log.
        mean_weight: mean final weight; far from 1, propensities or overlap are in doubt.
    """

    effective_sample_size: float
    effective_conversions: float
    max_weight: float
    n_episodes: int
    mean_weight: float


def estimate(
    logged: LoggedSteps,
    names: Sequence[str] | None = None,
    *,
    discount: float = 1.0,
    tuning: Tuning | None = None,
    level: float = LEVEL,
) -> Mapping[str, Interval]:
    """Estimates the target policy's value with every estimator asked for.

    Where an estimator has nothing to say, its ``value`` is None; where its interval would not be honest, ``low`` and
    ``high`` are; ``reason`` says why. An interval is widened, where necessary, to hold its value.

    Args:
        logged: the log.
        names: keys of ``ESTIMATORS``; None: all of them.
        discount: what a reward loses from one step to the next, in [0, 1].
        tuning: parameters of some estimators; None: chosen from the log.
        level: coverage of the intervals, between 0 and 1.

    Raises:
        BadInput: an unknown name, or a discount or level that is out of range, or weights beyond all numbers.
    """
    _check_level(level)
    log = weighted(logged, discount)
    conversions = _effective(log.final * log.returns())
    found: dict[str, Interval] = {}
    for name in ESTIMATORS if names is None else names:
        try:
            terms = _terms(name, log, tuning or Tuning())
        except NoEstimateError as error:
            found[name] = Interval(None, None, None, logged.n_episodes, level, str(error))
            continue
        if name in NO_INTERVAL:
            found[name] = Interval(terms.value, None, None, logged.n_episodes, level, NO_INTERVAL[name])
            continue
        if conversions > ENOUGH_CONVERSIONS:
            ends = _t_ends(terms.value, terms.influence, logged, level, conversions)
        else:
            ends = _likelihood_ends([terms], logged, level)
        found[name] = _around(terms.value, ends, terms.returns, logged.n_episodes, level)
    return found


def difference(
    logged_a: LoggedSteps,
    logged_b: LoggedSteps,
    name: str = "dr",
    *,
    discount: float = 1.0,
    tuning: Tuning | None = None,
    level: float = LEVEL,
) -> Interval:
    """Value of one target policy minus that of another, paired over the same episodes.

    Args:
        logged_a: the log with the one policy's probabilities in ``target``.
        logged_b: the same log with the other's.
        name: a key of ``ESTIMATORS``.
        discount: what a reward loses from one step to the next, in [0, 1].
        tuning: parameters of some estimators.
        level: coverage of the interval, between 0 and 1.

    Raises:
        BadInput: the logs are not of the same steps and rewards, or as ``estimate`` does.
    """
    _check_level(level)
    for column in ("episode", "step", "reward"):
        if not np.array_equal(getattr(logged_a, column), getattr(logged_b, column)):
            raise BadInput(f"{column}: differs between the two logs; a paired difference needs the same episodes")
    logs = [weighted(logged_a, discount), weighted(logged_b, discount)]
    n = logged_a.n_episodes
    try:
        a, b = (_terms(name, log, tuning or Tuning()) for log in logs)
    except NoEstimateError as error:
        return Interval(None, None, None, n, level, str(error))
    value = a.value - b.value
    if name in NO_INTERVAL:
        return Interval(value, None, None, n, level, NO_INTERVAL[name])
    widest = a.returns[1] - a.returns[0]
    earned = [log.final * log.returns() for log in logs]
    conversions = min(map(_effective, (*earned, earned[0] - earned[1])))
    if conversions > ENOUGH_CONVERSIONS:
        ends = _t_ends(value, a.influence - b.influence, logged_a, level, conversions)
    else:
        ends = _likelihood_ends([a, b], logged_a, level)
    return _around(value, ends, (-widest, widest), n, level)


def diagnostics(logged: LoggedSteps) -> Diagnostics:
    """How much of a log speaks about the target policy.

    Raises:
        BadInput: weights beyond all numbers.
    """
    log = weighted(logged)
    return Diagnostics(
        effective_sample_size=_effective(log.final),
        effective_conversions=_effective(log.final * log.returns()),
        max_weight=float(log.final.max()),
        n_episodes=logged.n_episodes,
        mean_weight=float(log.final.mean()),
    )


def _effective(amounts: FloatArray) -> float:
    """``(sum |a|)^2 / sum a^2``; scaled first, so that no square overflows or vanishes."""
    sizes = np.abs(amounts)
    largest = float(sizes.max())
    if largest <= 0:
        return 0.0
    sizes = sizes / largest
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _terms(name: str, log: Weighted, tuning: Tuning) -> Terms:
    if name not in ESTIMATORS:
        raise BadInput(f"estimator: received {name!r}; allowed: {', '.join(ESTIMATORS)}")
    estimator = ESTIMATORS[name](tuning)
    if estimator.is_one_step and log.steps.n_steps > 1:
        raise NoEstimateError(
            f"no estimate: {name} is for one-step tables only, and here episodes have up to {log.steps.n_steps} steps"
        )
    return estimator.terms(log)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise BadInput(f"level: received {level}; allowed: a number between 0 and 1")


def _around(
    value: float, ends: tuple[float, float] | str, possible: tuple[float, float], n: int, level: float
) -> Interval:
    """The interval within what is possible and wide enough to hold the value; or the reason why there is none."""
    if isinstance(ends, str):
        return Interval(value, None, None, n, level, ends)
    low, high = max(ends[0], possible[0]), min(ends[1], possible[1])
    return Interval(value, min(low, value), max(high, value), n, level)


def _by_cluster(rows: FloatArray, logged: LoggedSteps) -> FloatArray:
    """(C,) sums over the clusters of a quantity of episodes."""
    if logged.cluster is None:
        return rows
    _, place = np.unique(logged.cluster, return_inverse=True)
    return np.bincount(place, rows).astype(np.float64, copy=False)


def _t_ends(
    value: float, influence: FloatArray, logged: LoggedSteps, level: float, conversions: float
) -> tuple[float, float] | str:
    """Ends of the t interval, with as many degrees of freedom as effective conversions, or clusters if fewer."""
    sums = _by_cluster(influence, logged)
    n = len(sums)
    if n < 2:
        return ONE_CLUSTER
    error = np.sqrt((sums**2).sum() * n / (n - 1)) / len(influence)
    half = float(student.ppf((1 + level) / 2, min(n, conversions) - 1) * error)
    return value - half, value + half


def _likelihood_ends(parts: Sequence[Terms], logged: LoggedSteps, level: float) -> tuple[float, float] | str:
    """Ends for one policy, or for the first minus the second; the quantile is F(1, clusters - 1) as in the paper."""
    x = parts[0].x if len(parts) == 1 else parts[0].x - parts[1].x
    n_clusters = logged.n_episodes if logged.cluster is None else len(np.unique(logged.cluster))
    if n_clusters < 2:
        return ONE_CLUSTER
    controls = [control for part in parts for control in part.controls]
    # a weight that can only be 1 controls nothing
    used = [i for i, control in enumerate(controls) if control.possible != (1.0,)]
    u = np.zeros((n_clusters, len(used)))
    for column, i in enumerate(used):
        u[:, column] = _by_cluster(controls[i].weight - 1, logged)
    possible_x, possible_weights = _possible(parts)
    low, high = parts[0].returns
    points = Points(
        x=_by_cluster(x, logged),
        u=u,
        size=_by_cluster(np.ones(logged.n_episodes), logged),
        possible_x=possible_x,
        possible_u=possible_weights[:, used] - 1,
        low=low if len(parts) == 1 else low - high,
        high=high if len(parts) == 1 else high - low,
    )
    return bounds(points, float(student.ppf((1 + level) / 2, n_clusters - 1)) ** 2) or CONTRADICTED


def _possible(parts: Sequence[Terms]) -> tuple[FloatArray, FloatArray]:
    """(c,) extreme contributions of the first part minus those of the second, (c, k) the weights they come with."""
    start = parts[0].start if len(parts) == 1 else parts[0].start - parts[1].start
    is_shared = all(part.pays_return for part in parts)
    corners: set[tuple[float, ...]] = set()
    for weights in product(*(control.possible for part in parts for control in part.controls)):
        left, credit = iter(weights), 0.0
        low, high = float(start.min()), float(start.max())
        for sign, part in zip((1.0, -1.0), parts, strict=False):
            ends = [0.0, 0.0]
            for i, control in enumerate(part.controls):
                w = next(left)
                if is_shared and i == 0:
                    credit += sign * w
                else:
                    ends = [ends[0] + control.low * w, ends[1] + control.high * w]
            low, high = low + min(sign * end for end in ends), high + max(sign * end for end in ends)
        # the same return for both parts, whoever is credited with it
        for paid in parts[0].returns if is_shared else (0.0,):
            corners |= {(paid * credit + low, *weights), (paid * credit + high, *weights)}
    table = np.array(sorted(corners))
    return table[:, 0], table[:, 1:]
