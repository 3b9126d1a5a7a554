"""``after_decline``: how long an ask rests after it was declined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.clock import format_duration
from data.domain import SECOND, Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import clock
from policy.situation import Situation


class AfterDecline(AskRule):
    """Forbids an ask until its duration has passed since the visitor last declined it."""

    name = "after_decline"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks with such a duration."""
        return bool(ask.after_decline_s)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks declined too recently."""
        memories = situation.state.asks
        if not memories:
            return ()
        now = situation.now
        return [ask for ask in asks if ask.id in memories and now < _lifted_at(ask, memories[ask.id].declined_at)]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks declined too recently."""
        declined_at = crowd.memory("declined_at", asks)
        pauses = np.array([(ask.after_decline_s or 0) * SECOND for ask in asks])
        is_recent: BoolArray = (declined_at > 0) & (crowd.now.reshape(-1, 1) < declined_at + pauses)
        return is_recent

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """When it was declined; lifted by time alone."""
        declined_at = situation.state.asks[ask.id].declined_at
        duration = format_duration(ask.after_decline_s or 0)
        reason = f"declined at {clock(declined_at, situation.now)}; asked again no sooner than {duration} later"
        return Block(self.name, reason, _lifted_at(ask, declined_at))


def _lifted_at(ask: Ask, declined_at: int) -> int:
    return declined_at + (ask.after_decline_s or 0) * SECOND if declined_at else 0
