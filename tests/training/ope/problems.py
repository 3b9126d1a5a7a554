"""Small logged problems whose right answers are known exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from training.ope import LoggedSteps, estimate

ACTIONS = 2
STEPS = 3
BEHAVIOR = np.array([[0.5, 0.5], [0.3, 0.7], [0.8, 0.2]])
TARGET = np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])
"""Probabilities of the actions at each step."""
REWARD = np.array([[0.3, 1.0], [0.0, 2.0], [0.5, -1.0]])
"""Reward of each action at each step."""
GOES_ON = np.array([[0.6, 0.4], [0.5, 0.9]])
"""Probability that the episode goes on after each action of the first two steps."""
WRONG_Q = np.array([[0.7, 0.1], [1.3, -0.2], [0.0, 0.4]])
"""Predictions that are far off."""


@dataclass(frozen=True)
class Path:
    """One thing that can happen, and how likely it is under the behavior policy."""

    actions: tuple[int, ...]
    probability: float


def paths() -> Iterator[Path]:
    """Everything that can happen."""
    for length in range(1, STEPS + 1):
        for actions in product(range(ACTIONS), repeat=length):
            p = 1.0
            for t, action in enumerate(actions):
                p *= BEHAVIOR[t, action]
                if t + 1 < STEPS:
                    p *= GOES_ON[t, action] if t + 1 < length else 1 - GOES_ON[t, action]
            yield Path(actions, p)


def exact_value(discount: float) -> float:
    """The target policy's value."""
    value = 0.0
    for t in range(STEPS - 1, -1, -1):
        stay = GOES_ON[t] if t + 1 < STEPS else np.zeros(ACTIONS)
        value = float(TARGET[t] @ (REWARD[t] + discount * stay * value))
    return value


def logged_of(actions: Sequence[int]) -> LoggedSteps:
    """A log of one episode."""
    steps, taken = np.arange(len(actions)), np.array(actions)
    return LoggedSteps(
        episode=np.zeros(len(actions), dtype=np.int64),
        step=steps,
        reward=REWARD[steps, taken],
        propensity=BEHAVIOR[steps, taken],
        target=TARGET[steps, taken],
        q=WRONG_Q[steps, taken],
        v=(TARGET * WRONG_Q).sum(axis=1)[steps],
    )


def log_of(
    lengths: Sequence[int], ratio: npt.ArrayLike, reward: npt.ArrayLike, values: Mapping[str, Any] | None = None
) -> LoggedSteps:
    """A log with these ratios: propensity one half, or less where the ratio would make the target exceed 1."""
    ratios = np.asarray(ratio, dtype=np.float64)
    propensity = np.minimum(0.5, 1 / np.maximum(ratios, 1e-9))
    given: dict[str, Any] = {name: np.array(column) for name, column in (values or {}).items()}
    return LoggedSteps(
        episode=np.repeat(np.arange(len(lengths)), lengths),
        step=np.concatenate([np.arange(length) for length in lengths]),
        reward=np.asarray(reward, dtype=np.float64),
        propensity=propensity,
        target=np.minimum(ratios * propensity, 1.0),
        **given,
    )


def value_of(logged: LoggedSteps, name: str, discount: float = 1.0) -> float:
    """An estimate that is there."""
    value = estimate(logged, [name], discount=discount)[name].value
    assert value is not None
    return value


@st.composite
def logs(draw: st.DrawFn, *, longest: int = 4, is_on_policy: bool = False) -> LoggedSteps:
    """Any small log, the nasty ones included."""
    lengths = draw(st.lists(st.integers(1, longest), min_size=1, max_size=8))
    n = sum(lengths)

    def column(values: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=np.float64)

    propensity = column(st.one_of(st.sampled_from([1.0, 0.5, 1e-6]), st.floats(1e-6, 1)))
    target = propensity if is_on_policy else column(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)))
    amounts = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(-1e6, 1e6))
    rewards = column(st.sampled_from([0.0, 1.0])) if is_on_policy else column(amounts)
    has_values, has_clusters = draw(st.booleans()), draw(st.booleans())
    return LoggedSteps(
        episode=np.repeat(np.arange(len(lengths)), lengths),
        step=np.concatenate([np.arange(length) for length in lengths]),
        reward=rewards,
        propensity=propensity,
        target=target,
        q=column(amounts) if has_values else None,
        v=column(amounts) if has_values else None,
        cluster=np.arange(len(lengths)) // 2 if has_clusters else None,
    )
