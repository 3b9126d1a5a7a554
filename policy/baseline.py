"""The baseline rule: the marketer's own sequence, for day zero, for fallback and as the control arm."""

from __future__ import annotations

from collections.abc import Collection

from data.domain import Catalog
from features.state import JourneyState


def baseline_ask(catalog: Catalog, state: JourneyState, eligible: Collection[str | None]) -> str | None:
    """First eligible ask of the list not yet shown in the episode, else first eligible of the list, else none.

    Example:
        >>> catalog = Catalog("skincare", goal="buy", baseline=("quiz", "guide", "buy"), asks=())
        >>> baseline_ask(catalog, JourneyState(), {"guide", "buy"}), baseline_ask(catalog, JourneyState(), {"other"})
        ('guide', None)
    """
    first = None
    for ask_id in catalog.baseline:
        if ask_id in eligible:
            memory = state.asks.get(ask_id)
            if memory is None or memory.n_shown_episode == 0:
                return ask_id
            if first is None:
                first = ask_id
    return first
