"""From values to probabilities: how much a policy tries what it does not believe best.

Every explorer keeps a **floor**: each of ``n`` candidates gets at least ``floor / n``, so that whatever may be asked
can be learned about. What is left of 1 goes to the candidate of the highest value, the first of them in a tie.
All are closed forms, so that the logged propensity is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields, replace
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from data.domain import Exploration
from policy.candidates import Candidates, FloatArray
from policy.segments import Segments

_LARGEST: Final = 1e300
"""Values beyond this are refused: their differences would overflow."""
_MOST_STEPS: Final = 1e9


class Explorer(Protocol):
    """Turns the values of candidates into probabilities: a frozen dataclass whose fields are numbers."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def floor(self) -> float:
        """Share of probability that is spread evenly over a group."""

    def under(self, exploration: Exploration) -> Explorer:
        """The same explorer with the shares that a catalog asks for."""

    def probabilities(self, values: FloatArray, candidates: Candidates) -> FloatArray:
        """One probability a row, shape (m,): at least ``floor / n`` in a group of ``n``, summing to 1 in each.

        Raises:
            ValueError: a value is not a finite number, or the shapes do not fit.
        """


@dataclass(frozen=True, slots=True)
class Greedy:
    """The best candidate, apart from the floor.

    Example:
        >>> pair = Candidates(np.array([0, 2]), np.array([0, 1]), np.array([0]), np.array([1]))
        >>> Greedy(floor=0.5).probabilities(np.array([0.1, 0.3]), pair)
        array([0.25, 0.75])
    """

    floor: float = 0.0
    name: ClassVar[str] = "greedy"

    def __post_init__(self) -> None:
        _check_share(self.name, "floor", self.floor)

    def under(self, exploration: Exploration) -> Greedy:
        """See ``Explorer``."""
        return replace(self, floor=exploration.floor)

    def probabilities(self, values: FloatArray, candidates: Candidates) -> FloatArray:
        """See ``Explorer``."""
        segments, best = _checked(values, candidates)
        return segments.fill((self.floor / segments.sizes)[segments.groups], segments.first_rows(values == best))


@dataclass(frozen=True, slots=True)
class Epsilon:
    """The best candidate, but any of them evenly with probability ``epsilon``.

    Example:
        >>> pair = Candidates(np.array([0, 2]), np.array([0, 1]), np.array([0]), np.array([1]))
        >>> Epsilon(epsilon=0.5).probabilities(np.array([0.1, 0.3]), pair)
        array([0.25, 0.75])
    """

    epsilon: float
    floor: float = 0.0
    name: ClassVar[str] = "epsilon"

    def __post_init__(self) -> None:
        _check_share(self.name, "epsilon", self.epsilon)
        _check_share(self.name, "floor", self.floor)

    def under(self, exploration: Exploration) -> Epsilon:
        """See ``Explorer``."""
        return replace(self, floor=exploration.floor)

    def probabilities(self, values: FloatArray, candidates: Candidates) -> FloatArray:
        """See ``Explorer``."""
        segments, best = _checked(values, candidates)
        share = self.floor / segments.sizes + (1.0 - self.floor) * (self.epsilon / segments.sizes)
        return segments.fill(share[segments.groups], segments.first_rows(values == best))


@dataclass(frozen=True, slots=True)
class InverseGap:
    """Inverse-gap weighting: the worse a candidate, the less often it is tried.

    With ``A`` candidates, the best value ``q*`` and ``kappa = steps * (A - 1) / loss``, each but the best gets::

        p(a) = 1 / (A + kappa * (1 - q(a) / q*))

    and the best the rest. The value lost in one step is then at most ``q* * loss / steps``, whatever the values,
    so that an episode of ``steps`` asks loses at most the share ``loss`` of its value; ``loss = 0`` is greedy.
    Where values can be negative or are all 0, the gap is divided by the spread of the group instead of ``q*``.
    A floor costs its own share on top: probabilities are ``floor / A + (1 - floor) * p(a)``.

    References:
        Abe and Long (1999), Associative reinforcement learning using linear probabilistic concepts.
        Foster and Rakhlin (2020), Beyond UCB: optimal and efficient contextual bandits with regression oracles
        (SquareCB; its ``gamma`` has the units of 1 / value, ``kappa`` has none).

    Example:
        >>> pair = Candidates(np.array([0, 2]), np.array([0, 1]), np.array([0]), np.array([1]))
        >>> InverseGap(loss=0.5, steps=4).probabilities(np.array([0.1, 0.4]), pair)
        array([0.125, 0.875])
    """

    loss: float
    steps: float
    floor: float = 0.0
    name: ClassVar[str] = "inverse_gap"

    def __post_init__(self) -> None:
        _check_share(self.name, "loss", self.loss)
        _check_share(self.name, "floor", self.floor)
        if not 1.0 <= self.steps <= _MOST_STEPS:
            raise ValueError(f"{self.name}: steps must be from 1 to {_MOST_STEPS:g}; received {self.steps}")

    def under(self, exploration: Exploration) -> InverseGap:
        """See ``Explorer``."""
        return replace(self, floor=exploration.floor, loss=exploration.loss)

    def probabilities(self, values: FloatArray, candidates: Candidates) -> FloatArray:
        """See ``Explorer``."""
        if self.loss == 0.0:
            return Greedy(self.floor).probabilities(values, candidates)
        segments, best = _checked(values, candidates)
        groups, sizes = segments.groups, segments.sizes[segments.groups]
        worst = segments.minima(values)[groups]
        scale = np.where(worst < 0.0, best - worst, best)
        scale[scale == 0.0] = 1.0  # all values are equal: every gap is 0
        with np.errstate(over="ignore"):  # a tiny loss makes kappa infinite and p(a) 0, as it should
            weighted_gaps = self.steps * (sizes - 1.0) * ((best - values) / scale) / self.loss
        shares = self.floor / sizes + (1.0 - self.floor) / (sizes + weighted_gaps)
        return segments.fill(shares, segments.first_rows(values == best))


EXPLORERS: Final[Mapping[str, Callable[..., Explorer]]] = {
    Greedy.name: Greedy,
    Epsilon.name: Epsilon,
    InverseGap.name: InverseGap,
}


def to_json(explorer: Explorer) -> dict[str, object]:
    """An explorer as plain JSON values; ``from_json`` is its inverse.

    Example:
        >>> to_json(Greedy(floor=0.05))
        {'name': 'greedy', 'floor': 0.05}
    """
    return {"name": explorer.name, **{field.name: getattr(explorer, field.name) for field in fields(explorer)}}


def from_json(data: Mapping[str, object]) -> Explorer:
    """The explorer that ``to_json`` described.

    Raises:
        ValueError: the name is unknown, a parameter is missing, unknown, no number, or out of its range.

    Example:
        >>> from_json({"name": "epsilon", "epsilon": 0.1})
        Epsilon(epsilon=0.1, floor=0.0)
    """
    name = data.get("name")
    kind = EXPLORERS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown explorer; received {name!r}; allowed: {', '.join(EXPLORERS)}")
    parameters = {key: value for key, value in data.items() if key != "name"}
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name}: {key} must be a number; received {value!r}")
    try:
        return kind(**parameters)
    except TypeError as error:
        raise ValueError(f"{name}: its parameters are not these: {', '.join(parameters)} ({error})") from None


def _checked(values: FloatArray, candidates: Candidates) -> tuple[Segments, FloatArray]:
    """The groups, and for each row the best value of its group; refuses values nobody can rank."""
    if values.shape != candidates.asks.shape:
        raise ValueError(f"values must be one a candidate, {candidates.asks.shape}; received shape {values.shape}")
    sizes = np.abs(values)
    if len(values) and not sizes.max() <= _LARGEST:  # false for NaN, too
        row = int((~(sizes <= _LARGEST)).argmax())
        raise ValueError(f"values must be finite numbers up to {_LARGEST:g}; received {values[row]} in row {row}")
    segments = Segments.of(candidates)
    return segments, segments.maxima(values)[segments.groups]


def _check_share(owner: str, parameter: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{owner}: {parameter} must be from 0 to 1; received {share}")
