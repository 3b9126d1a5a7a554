"""``stop_after_declines``: when a visitor has said no often enough in a row for one session."""

from __future__ import annotations

import numpy as np

from data.domain import Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import JourneyRule
from policy.guardrails.scopes import session_ends_at
from policy.guardrails.wording import times
from policy.situation import Situation


class StopAfterDeclines(JourneyRule):
    """Forbids everything for the rest of a session in which so many declines came in a row."""

    name = "stop_after_declines"

    def is_on(self, catalog: Catalog) -> bool:
        """Whether the catalog sets this limit."""
        return catalog.limits.stop_after_declines is not None

    def block_all(self, situation: Situation) -> Block | None:
        """The longest run of declines; a later acceptance does not lift it, the end of the session does."""
        limit = situation.catalog.limits.stop_after_declines
        n_declines = situation.state.session_max_declines
        if limit is None or n_declines < limit:
            return None
        reason = f"declined {times(n_declines)} in a row in this session; asking stops after {limit}"
        return Block(self.name, reason, session_ends_at(situation) if limit else None)

    def mask_all(self, crowd: Crowd) -> BoolArray:
        """Decisions in a session with so long a run of declines."""
        limit = crowd.catalog.limits.stop_after_declines
        return np.full(len(crowd), False) if limit is None else crowd.summary.session_max_declines >= limit
