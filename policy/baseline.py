"""The baseline rule: the marketer's own sequence, for day zero, for fallback and as the control arm."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from data.domain import Catalog
from features.state import JourneyState
from features.summary import ASK_MEMORY, NO_ASK, IntArray, Summary
from policy.crowd import BoolArray


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


def baseline_asks(catalog: Catalog, summary: Summary, eligible: BoolArray) -> IntArray:
    """``baseline_ask`` for many decisions at once.

    Args:
        catalog: the journey, with A asks.
        summary: the visitors' states as of ``n`` decisions.
        eligible: shape (n, A); what may be asked (``policy.guardrails.registry.eligible_mask``).

    Returns:
        Shape (n,): indices into the catalog's asks, -1 (``features.summary.NO_ASK``) for none.

    Example:
        >>> from data.domain import Ask
        >>> from features.summary import summarize
        >>> asks = (Ask("quiz", "Quiz", "quiz", 2), Ask("buy", "Buy", "purchase", 8))
        >>> catalog = Catalog("skincare", goal="buy", baseline=("quiz", "buy"), asks=asks)
        >>> summary = summarize([JourneyState()] * 3, [5] * 3, catalog)
        >>> baseline_asks(catalog, summary, np.array([[True, True], [False, True], [False, False]])).tolist()
        [0, 1, -1]
    """
    n_shown_episode = summary.ask_table[ASK_MEMORY.index("n_shown_episode")]
    first, first_new = (np.full(len(summary), NO_ASK, dtype=np.int64) for _ in range(2))
    for column in (catalog.position[ask_id] for ask_id in reversed(catalog.baseline)):
        is_eligible = eligible[:, column]
        first[is_eligible] = column
        first_new[is_eligible & (n_shown_episode[summary.ask_places[:, column]] == 0)] = column
    return np.where(first_new == NO_ASK, first, first_new)
