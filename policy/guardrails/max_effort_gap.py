"""``max_effort_gap``: value exchange, no ask that takes much more than it gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.max_effort_step import ROUNDING
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import number
from policy.situation import Situation


class MaxEffortGap(AskRule):
    """Forbids asks whose effort exceeds what they give by more than the limit, whoever the visitor is."""

    name = "max_effort_gap"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:
        """Asks that exceed the limit; they can never be asked."""
        limit = catalog.limits.max_effort_gap
        return limit is not None and ask.effort - ask.gives > limit + ROUNDING

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:  # noqa: ARG002
        """All that it concerns."""
        return asks

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """All that it concerns."""
        return np.ones((len(crowd), len(asks)), dtype=np.bool_)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """Effort, gives and the limit; time alone never lifts it."""
        limit = number(situation.catalog.limits.max_effort_gap or 0)
        reason = f"effort {number(ask.effort)} is more than {limit} above what it gives, {number(ask.gives)}"
        return Block(self.name, reason)
