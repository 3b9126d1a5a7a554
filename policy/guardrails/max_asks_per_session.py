"""``max_asks_per_session``: how many asks a visitor sees in one session."""

from __future__ import annotations

import numpy as np

from data.domain import Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import JourneyRule
from policy.guardrails.scopes import session_ends_at
from policy.guardrails.wording import at_most, times
from policy.situation import Situation


class MaxAsksPerSession(JourneyRule):
    """Forbids everything once the session has seen its share of asks; lifted when the session ends."""

    name = "max_asks_per_session"

    def is_on(self, catalog: Catalog) -> bool:
        """Whether the catalog sets this limit."""
        return catalog.limits.max_asks_per_session is not None

    def block_all(self, situation: Situation) -> Block | None:
        """The count and the limit."""
        limit = situation.catalog.limits.max_asks_per_session
        n_shown = situation.state.session_shown
        if limit is None or n_shown < limit:
            return None
        reason = f"you asked {times(n_shown)} in this session; {at_most(limit)}"
        return Block(self.name, reason, session_ends_at(situation) if limit else None)

    def mask_all(self, crowd: Crowd) -> BoolArray:
        """Decisions in a session that has seen its share."""
        limit = crowd.catalog.limits.max_asks_per_session
        return np.full(len(crowd), False) if limit is None else crowd.summary.session_shown >= limit
