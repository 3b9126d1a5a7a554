"""``repeatable``: an ask that may be accepted again is not asked again before its time."""

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


class Repeatable(AskRule):
    """Forbids a repeatable ask until its duration has passed since its last acceptance, in whatever episode."""

    name = "repeatable"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that are repeatable after a duration."""
        return bool(ask.repeat_after_s)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks whose last acceptance is too recent."""
        memories = situation.state.asks
        if not memories:
            return ()
        now = situation.now
        return [ask for ask in asks if ask.id in memories and now < _lifted_at(ask, memories[ask.id].accepted_at)]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks whose last acceptance is too recent."""
        accepted_at = crowd.memory("accepted_at", asks)
        pauses = np.array([(ask.repeat_after_s or 0) * SECOND for ask in asks])
        is_recent: BoolArray = (accepted_at > 0) & (crowd.now.reshape(-1, 1) < accepted_at + pauses)
        return is_recent

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """When it was accepted; lifted by time alone."""
        accepted_at = situation.state.asks[ask.id].accepted_at
        duration = format_duration(ask.repeat_after_s or 0)
        reason = f"accepted at {clock(accepted_at, situation.now)}; asked again no sooner than {duration} later"
        return Block(self.name, reason, _lifted_at(ask, accepted_at))


def _lifted_at(ask: Ask, accepted_at: int) -> int:
    return accepted_at + (ask.repeat_after_s or 0) * SECOND if accepted_at else 0
