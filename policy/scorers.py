"""What an ask is worth now: the part of a policy that is learned.

A new scorer is one class with the methods of ``Scorer`` and ``ScorerLoader``, and one line in ``SCORERS``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Protocol, cast

import numpy as np

from data.domain import Catalog
from policy.candidates import Candidates, FloatArray
from policy.strict_json import dump_object, parse_object


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer believes, one number a row.

    Attributes:
        values: expected reward of the episode if this is asked now, shape (m,).
        p_accepts: probability that the ask is accepted, 0 for asking nothing, shape (m,).
    """

    values: FloatArray
    p_accepts: FloatArray


class Scorer(Protocol):
    """Scores candidates; pure, and each row for itself, so that no score depends on the batch."""

    name: ClassVar[str]

    @property
    def uses_features(self) -> bool:
        """Whether ``candidates.features`` must be there."""

    def score(self, candidates: Candidates) -> Scores:
        """Scores every row."""

    def for_catalog(self, catalog: Catalog) -> Scorer:
        """The same scorer for candidates of another catalog, whose asks stand elsewhere or are new."""

    def to_files(self) -> Mapping[str, bytes]:
        """Everything the scorer is, as plain files by name: no pickle, no code."""


class ScorerLoader(Protocol):
    """The other half of a scorer: from files back to an object."""

    def from_files(self, files: Mapping[str, bytes], catalog: Catalog) -> Scorer:
        """The scorer that ``to_files`` wrote, for the asks of a catalog; it may know some of them only by default.

        Raises:
            ValueError: the files are not what ``to_files`` writes.
            KeyError: a file is missing.
        """


SCORERS: Final[Mapping[str, str]] = {
    "constant": "policy.scorers:ConstantScorer",
    "boosted": "policy.boosted:BoostedScorer",
    "cautious": "policy.cautious:CautiousScorer",
}
"""Where each scorer is: module and class, imported only when one is loaded."""


def load_scorer(name: str, files: Mapping[str, bytes], catalog: Catalog) -> Scorer:
    """The scorer of that name, made from its files.

    Raises:
        ValueError: there is no such scorer, or the files are not its own.
        KeyError: a file is missing.
    """
    if name not in SCORERS:
        raise ValueError(f"unknown scorer; received {name!r}; allowed: {', '.join(SCORERS)}")
    module, _, attribute = SCORERS[name].partition(":")
    loader = cast(ScorerLoader, getattr(importlib.import_module(module), attribute))
    return loader.from_files(files, catalog)


@dataclass(frozen=True)
class ConstantScorer:
    """The same value and acceptance for an ask whatever the situation: written by hand, or an average of a log.

    Attributes:
        asks: ids of the catalog's asks, in its order.
        values: value by ask id; asks that are not in it get ``default_value``. Ids of no ask of the catalog are kept.
        p_accepts: acceptance by ask id; asks that are not in it get ``default_p_accept``.
        nothing: value of asking nothing.

    Example:
        >>> scorer = ConstantScorer(asks=("quiz", "buy"), values={"quiz": 0.2}, default_value=0.1)
        >>> pair = Candidates(np.array([0, 2]), np.array([0, 1]), np.array([0]), np.array([1]))
        >>> scorer.score(pair).values
        array([0.2, 0.1])
    """

    asks: tuple[str, ...]
    values: Mapping[str, float] = field(default_factory=dict)
    p_accepts: Mapping[str, float] = field(default_factory=dict)
    default_value: float = 0.0
    default_p_accept: float = 0.0
    nothing: float = 0.0
    name: ClassVar[str] = "constant"
    uses_features: ClassVar[bool] = False
    _value_table: FloatArray = field(init=False, repr=False, compare=False)
    _p_accept_table: FloatArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_numbers("values", [*self.values.values(), self.default_value, self.nothing], -math.inf, math.inf)
        _check_numbers("p_accepts", [*self.p_accepts.values(), self.default_p_accept], 0.0, 1.0)
        # NOTHING is -1: as an index it finds the last entry
        values = [*(self.values.get(ask_id, self.default_value) for ask_id in self.asks), self.nothing]
        p_accepts = [*(self.p_accepts.get(ask_id, self.default_p_accept) for ask_id in self.asks), 0.0]
        object.__setattr__(self, "_value_table", np.array(values, dtype=np.float64))
        object.__setattr__(self, "_p_accept_table", np.array(p_accepts, dtype=np.float64))

    def score(self, candidates: Candidates) -> Scores:
        """Looks both numbers up; see ``Scorer``."""
        return Scores(self._value_table[candidates.asks], self._p_accept_table[candidates.asks])

    def for_catalog(self, catalog: Catalog) -> ConstantScorer:
        """Finds the same values under the new positions; see ``Scorer``."""
        return replace(self, asks=tuple(ask.id for ask in catalog.asks))

    def to_files(self) -> Mapping[str, bytes]:
        """One JSON file; see ``Scorer``."""
        content = {
            "values": dict(self.values),
            "p_accepts": dict(self.p_accepts),
            "default_value": self.default_value,
            "default_p_accept": self.default_p_accept,
            "nothing": self.nothing,
        }
        return {_CONSTANTS: dump_object(content)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], catalog: Catalog) -> ConstantScorer:
        """See ``ScorerLoader``."""
        content = parse_object(files[_CONSTANTS])
        try:
            return cls(asks=tuple(ask.id for ask in catalog.asks), **content)  # type: ignore[arg-type]
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{_CONSTANTS}: not the constants of a scorer: {error}") from None


_CONSTANTS: Final = "constants.json"


def _check_numbers(name: str, numbers: list[float], low: float, high: float) -> None:
    for number in numbers:
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
        if not (is_number and low <= number <= high):
            raise ValueError(f"{name} must be finite numbers from {low} to {high}; received {number!r}")
