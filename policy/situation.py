"""Everything that is fixed before an ask is drawn, apart from the policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from data.domain import Catalog, Feature, FeatureValue
from features.state import JourneyState


class EveryConsent(Collection[str]):
    """A set of consents that holds all of them: what a log stands for, where missing consents are withheld asks."""

    def __contains__(self, item: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Situation:
    """What guardrails and features may know of one request.

    ``state`` is the visitor's state *as of* ``now`` (``features.state.as_of``). ``answers`` is the visitor's
    profile with the request's answers merged in. ``exclude`` are the asks this request rules out.
    """

    catalog: Catalog
    state: JourneyState
    now: int
    channel: str
    context: Mapping[str, FeatureValue]
    answers: Mapping[str, FeatureValue]
    consents: Collection[str] = frozenset()
    exclude: Collection[str] = frozenset()


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {"category": (str,), "number": (int, float), "boolean": (bool,)}


def of_declared_types(given: Mapping[str, FeatureValue], features: Iterable[Feature]) -> dict[str, FeatureValue]:
    """What was given, without values of another type than their feature's: these count as missing everywhere.

    A log column then has one type, and reads back as what the decision saw. Undeclared keys are kept as they are.

    Example:
        >>> of_declared_types({"basket": "much", "note": 3}, [Feature("basket", "number")])
        {'note': 3}
    """
    kept = dict(given)
    for feature in features:
        value = kept.get(feature.name)
        if value is not None and type(value) not in _TYPES[feature.type]:
            del kept[feature.name]
    return kept
