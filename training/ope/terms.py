"""What an estimator is made of: one contribution an episode, a weight of mean 1, and what both can possibly be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from training.ope.logged import FloatArray
from training.ope.weights import Weighted


class NoEstimateError(Exception):
    """A log that an estimator can say nothing about; the text is the reason, for people."""


@dataclass(frozen=True, eq=False)
class Control:
    """A weight of expectation 1 that bounds a part of an episode's contribution.

    Attributes:
        weight: (E,) non-negative, of expectation 1.
        largest: its largest possible value.
        low: the least that a unit of it can add to the contribution.
        high: the most.
    """

    weight: FloatArray
    largest: float
    low: float
    high: float

    @property
    def possible(self) -> tuple[float, ...]:
        """The extremes of the weight; only 1 where target and behavior policy are the same."""
        return (1.0,) if self.largest <= 1 else (0.0, self.largest)


@dataclass(frozen=True, eq=False)
class Terms:
    """An estimate taken apart.

    A possible contribution lies between ``start + sum of low * weight`` and ``start + sum of high * weight``, the sums
    being over the controls.

    Attributes:
        value: the estimate.
        x: (E,) contributions whose expectation is the policy's value.
        influence: (E,) what each episode moves the estimate by, times E; of mean 0.
        controls: the weights that bound the contributions.
        start: (E,) contributions where all weights are 0: what is predicted before the first step.
        returns: smallest and largest possible return; the value lies between.
        pays_return: what the first control bounds is exactly the episode's return times that weight.
    """

    value: float
    x: FloatArray
    influence: FloatArray
    controls: tuple[Control, ...]
    start: FloatArray
    returns: tuple[float, float]
    pays_return: bool = False


class Estimator(Protocol):
    """What every estimator offers."""

    @property
    def name(self) -> str:
        """The name it is known by."""

    @property
    def needs_values(self) -> bool:
        """It needs predicted values ``q`` and ``v``."""

    @property
    def is_one_step(self) -> bool:
        """It is defined for episodes of one step only."""

    def terms(self, log: Weighted) -> Terms:
        """Takes the estimate apart.

        Raises:
            NoEstimateError: the log says nothing about the target policy.
        """


def return_span(log: Weighted) -> tuple[float, float]:
    """Smallest and largest possible discounted return: as given, else as seen, 0 included."""
    seen = log.returns()
    low, high = log.steps.return_range or (0.0, 0.0)
    return min(low, float(seen.min()), 0.0), max(high, float(seen.max()), 0.0)


def centered(rows: FloatArray) -> FloatArray:
    """Deviations from the mean."""
    deviations: FloatArray = rows - rows.mean()
    return deviations


def require_matched(log: Weighted, *, is_trajectory: bool = False) -> None:
    """Makes sure that some reward was earned by actions the target policy could have taken.

    Raises:
        NoEstimateError: there is none, so that the log cannot tell a worthless policy from an unobserved one.
    """
    reward = log.steps.reward
    if not reward.any():
        raise NoEstimateError("no estimate: the log has no reward at all")
    w = log.final[log.steps.episode] if is_trajectory else log.w
    if not ((w > 0) & (reward != 0)).any():
        raise NoEstimateError("no estimate: no logged reward was earned by actions the target policy would take")
