"""Logged decisions as arrays: what an off-policy estimator needs of a log, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from data.errors import BadInput

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LARGEST_AMOUNT: Final = 1e12
"""Rewards and values beyond this are refused: their squares, times squared weights, would no longer be finite."""
SUM_TOLERANCE: Final = 1e-6
"""By how much the target's probabilities of one step may miss 1."""


@dataclass(frozen=True, eq=False)
class LoggedSteps:
    """Episodes of any length, one row a decision, sorted by episode and step.

    Attributes:
        episode: (n,) number of the episode, 0 to E - 1, ascending, none left out.
        step: (n,) number of the decision in its episode, from 0, none left out.
        reward: (n,) reward of the step; where only the whole episode is paid, it sits on the last step.
        propensity: (n,) behavior policy's probability of the logged action, in (0, 1].
        target: (n,) target policy's probability of the logged action, in [0, 1].
        q: (n,) predicted value of the logged action, or None.
        v: (n,) predicted value of the step under the target policy, the sum of target times q over all actions.
        cluster: (E,) whom the episode belongs to: episodes of one cluster are not independent. None: each is its own.
        max_ratio: (n,) largest ratio of target to behavior probability that was possible at the step. None: as large
            as the largest one seen at the same step of any episode.
        return_range: smallest and largest possible sum of an episode's rewards. None: those seen, and 0.

    Raises:
        BadInput: a column is of the wrong length or order, or holds what it must not; the message names the row,
            counted from 0.

    Example:
        >>> logged = LoggedSteps(
        ...     episode=np.array([0, 0, 1]), step=np.array([0, 1, 0]), reward=np.array([0.0, 1.0, 0.0]),
        ...     propensity=np.array([0.5, 0.5, 0.5]), target=np.array([1.0, 0.5, 0.25]))
        >>> logged.n_episodes, logged.n_steps
        (2, 2)
    """

    episode: IntArray
    step: IntArray
    reward: FloatArray
    propensity: FloatArray
    target: FloatArray
    q: FloatArray | None = None
    v: FloatArray | None = None
    cluster: IntArray | None = None
    max_ratio: FloatArray | None = None
    return_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_order(self.episode, self.step)
        _within("reward", self.reward, -LARGEST_AMOUNT, LARGEST_AMOUNT)
        _within("propensity", self.propensity, 0.0, 1.0, is_open_below=True)
        _within("target", self.target, 0.0, 1.0 + SUM_TOLERANCE)
        for name, values in (("q", self.q), ("v", self.v)):
            if values is not None:
                _within(name, values, -LARGEST_AMOUNT, LARGEST_AMOUNT)
        if self.max_ratio is not None:
            _within("max_ratio", self.max_ratio, 0.0, np.inf)
        if self.return_range is not None and not self.return_range[0] <= self.return_range[1]:
            raise BadInput(f"return_range: the smaller end comes first, received {self.return_range}")

    @property
    def n_episodes(self) -> int:
        """E, the number of episodes."""
        return int(self.episode[-1]) + 1

    @property
    def n_steps(self) -> int:
        """T, the length of the longest episode."""
        return int(self.step.max()) + 1

    @property
    def ratio(self) -> FloatArray:
        """(n,) target probability over behavior probability of what was logged."""
        ratio: FloatArray = self.target / self.propensity
        return ratio


def _check_shapes(logged: LoggedSteps) -> None:
    n = len(logged.episode)
    if n == 0:
        raise BadInput("there is no logged decision to estimate from")
    for name in ("step", "reward", "propensity", "target", "q", "v", "max_ratio"):
        values = getattr(logged, name)
        if values is not None and np.shape(values) != (n,):
            raise BadInput(f"{name}: has shape {np.shape(values)}; allowed: one value for each of {n} decisions")
    if (logged.q is None) != (logged.v is None):
        raise BadInput("q and v: one is there without the other; give both or none")


def _check_order(episode: IntArray, step: IntArray) -> None:
    for name, values in (("episode", episode), ("step", step)):
        if not np.issubdtype(values.dtype, np.integer):
            raise BadInput(f"{name}: has type {values.dtype}; allowed: whole numbers")
    is_new = np.diff(episode, prepend=-1)
    _refuse(
        "episode",
        episode,
        (is_new != 0) & (is_new != 1) | (np.arange(len(episode)) == 0) & (episode != 0),
        "episodes counted from 0, in order, none left out",
    )
    expected = np.arange(len(step)) - np.flatnonzero(is_new)[episode]
    _refuse("step", step, step != expected, "steps of an episode counted from 0, in order, none left out")


def _within(name: str, values: FloatArray, low: float, high: float, *, is_open_below: bool = False) -> None:
    is_inside = (values > low if is_open_below else values >= low) & (values <= high)
    bracket = "(" if is_open_below else "["
    _refuse(name, values, ~is_inside, f"numbers in {bracket}{low:g}, {high:g}]")


def _refuse(name: str, values: npt.NDArray[np.generic], is_wrong: npt.NDArray[np.bool_], allowed: str) -> None:
    rows = np.flatnonzero(is_wrong)
    if rows.size:
        raise BadInput(f"{name}: row {rows[0]} holds {values[rows[0]]}; allowed: {allowed}")
