"""``step_down_after_decline``: after a no, something smaller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.scopes import session_ends_at
from policy.guardrails.wording import clock, number
from policy.situation import Situation


class StepDownAfterDecline(AskRule):
    """While the session's last answer is a decline, forbids efforts that are not lower than the declined one."""

    name = "step_down_after_decline"
    is_effort_rule = True

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:
        """Every ask where the limit is set; the goal ask not where ``direct_ask`` is set."""
        limits = catalog.limits
        return limits.step_down_after_decline and not (limits.direct_ask and ask.id == catalog.goal)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks of at least the declined effort; none where the declined ask has left the catalog."""
        state, catalog = situation.state, situation.catalog
        if not state.is_answer_decline or state.answered_ask not in catalog.position:
            return ()
        declined = catalog.ask(state.answered_ask).effort
        return [ask for ask in asks if ask.effort >= declined]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks of at least the declined effort; none where the declined ask has left the catalog."""
        summary = crowd.summary
        efforts = np.array([*(ask.effort for ask in crowd.catalog.asks), np.inf])  # the last: no ask (NO_ASK is -1)
        declined = np.where(summary.is_answer_decline == 1, efforts[summary.answered_ask], np.inf)
        return np.array([ask.effort for ask in asks]) >= declined.reshape(-1, 1)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """Both efforts; lifted when the session ends."""
        declined = situation.catalog.ask(situation.state.answered_ask)
        at = clock(situation.state.last_declined_at, situation.now)
        reason = (
            f"effort {number(ask.effort)} is not below {number(declined.effort)}, "
            f"the effort of {declined.id}, declined at {at}"
        )
        return Block(self.name, reason, session_ends_at(situation))
