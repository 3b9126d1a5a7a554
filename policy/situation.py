"""Everything that is fixed before an ask is drawn, apart from the policy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from data.domain import Catalog, FeatureValue
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
