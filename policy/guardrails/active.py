"""``active``: the period in which an ask may be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import clock
from policy.situation import Situation

_NEVER: Final = 2**63 - 1


class Active(AskRule):
    """Forbids an ask before its period begins and from the instant it ends."""

    name = "active"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks with a period."""
        return ask.active_from is not None or ask.active_until is not None

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks outside their period."""
        now = situation.now
        return [ask for ask in asks if _is_early(ask, now) or _is_over(ask, now)]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks outside their period."""
        now = crowd.now.reshape(-1, 1)
        starts_at = np.array([ask.active_from or 0 for ask in asks])
        ends_at = np.array([_NEVER if ask.active_until is None else ask.active_until for ask in asks])
        return (now < starts_at) | (now >= ends_at)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """When it begins, or that it is over; only the former is lifted by time."""
        if ask.active_until is not None and _is_over(ask, situation.now):
            return Block(self.name, f"its period ended at {clock(ask.active_until, situation.now)}")
        starts_at = ask.active_from or 0
        return Block(self.name, f"its period begins at {clock(starts_at, situation.now)}", starts_at)


def _is_early(ask: Ask, now: int) -> bool:
    return ask.active_from is not None and now < ask.active_from


def _is_over(ask: Ask, now: int) -> bool:
    return ask.active_until is not None and now >= ask.active_until
