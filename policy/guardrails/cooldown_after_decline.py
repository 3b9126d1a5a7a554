"""``cooldown_after_decline``: the pause after any declined ask."""

from __future__ import annotations

from data.clock import format_duration
from data.domain import SECOND, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import JourneyRule
from policy.guardrails.wording import clock
from policy.situation import Situation


class CooldownAfterDecline(JourneyRule):
    """Forbids everything until the pause has passed since the visitor last declined an ask."""

    name = "cooldown_after_decline"

    def is_on(self, catalog: Catalog) -> bool:
        """Whether the catalog sets a pause."""
        return bool(catalog.limits.cooldown_after_decline_s)

    def block_all(self, situation: Situation) -> Block | None:
        """When an ask was declined; lifted by time alone."""
        pause_s = situation.catalog.limits.cooldown_after_decline_s or 0
        declined_at = situation.state.last_declined_at
        until = declined_at + pause_s * SECOND
        if declined_at == 0 or situation.now >= until:
            return None
        at = clock(declined_at, situation.now)
        reason = f"an ask was declined at {at}; at least {format_duration(pause_s)} must pass after a decline"
        return Block(self.name, reason, until)

    def mask_all(self, crowd: Crowd) -> BoolArray:
        """Decisions too soon after a decline."""
        pause = (crowd.catalog.limits.cooldown_after_decline_s or 0) * SECOND
        declined_at = crowd.summary.last_declined_at
        return (declined_at > 0) & (crowd.now < declined_at + pause)
