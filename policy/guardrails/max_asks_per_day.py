"""``max_asks_per_day``: how many asks a visitor sees in any 24 hours."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from data.domain import DAY, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import JourneyRule
from policy.guardrails.wording import at_most, times
from policy.situation import Situation


class MaxAsksPerDay(JourneyRule):
    """Forbids everything while the last 24 hours, a rolling window, have seen their share of asks."""

    name = "max_asks_per_day"

    def is_on(self, catalog: Catalog) -> bool:
        """Whether the catalog sets this limit."""
        return catalog.limits.max_asks_per_day is not None

    def block_all(self, situation: Situation) -> Block | None:
        """The count and the limit; lifted when enough of the counted shows are 24 hours old."""
        limit = situation.catalog.limits.max_asks_per_day
        shows = situation.state.recent_shows
        if limit is None or len(shows) < limit:
            return None
        n_shown = len(shows) - bisect_right(shows, situation.now - DAY)
        if n_shown < limit:
            return None
        reason = f"you asked {times(n_shown)} in the last 24 hours; {at_most(limit)}"
        return Block(self.name, reason, shows[-limit] + DAY if limit else None)

    def mask_all(self, crowd: Crowd) -> BoolArray:
        """Decisions after a day that has seen its share."""
        limit = crowd.catalog.limits.max_asks_per_day
        return np.full(len(crowd), False) if limit is None else crowd.summary.n_shows_last_24h >= limit
