"""``min_gap``: the pause between two asks."""

from __future__ import annotations

from data.clock import format_duration
from data.domain import SECOND, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import JourneyRule
from policy.guardrails.wording import clock
from policy.situation import Situation


class MinGap(JourneyRule):
    """Forbids everything until the pause has passed since the last ask was shown."""

    name = "min_gap"

    def is_on(self, catalog: Catalog) -> bool:
        """Whether the catalog sets a pause."""
        return bool(catalog.limits.min_gap_s)

    def block_all(self, situation: Situation) -> Block | None:
        """When the last ask was shown; lifted by time alone."""
        gap_s = situation.catalog.limits.min_gap_s or 0
        shown_at = situation.state.last_shown_at
        until = shown_at + gap_s * SECOND
        if shown_at == 0 or situation.now >= until:
            return None
        at = clock(shown_at, situation.now)
        return Block(
            self.name, f"you asked at {at}; at least {format_duration(gap_s)} must pass between two asks", until
        )

    def mask_all(self, crowd: Crowd) -> BoolArray:
        """Decisions too soon after an ask."""
        gap = (crowd.catalog.limits.min_gap_s or 0) * SECOND
        shown_at = crowd.summary.last_shown_at
        return (shown_at > 0) & (crowd.now < shown_at + gap)
