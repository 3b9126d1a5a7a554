"""``max_effort_step``: progression, each ask only slightly larger than the largest yes so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from data.domain import Ask, Catalog
from policy.candidates import FloatArray
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import number
from policy.situation import Situation

ROUNDING: Final = 1e-9
"""Efforts are decimals written by people: 1.1 is not more than 0.1 above 1."""


class MaxEffortStep(AskRule):
    """Forbids efforts of more than the limit above the highest effort accepted in the episode (0 when none)."""

    name = "max_effort_step"
    is_effort_rule = True

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:
        """Asks above the limit when nothing was accepted; the goal ask not where ``direct_ask`` is set."""
        limits = catalog.limits
        if limits.max_effort_step is None or (limits.direct_ask and ask.id == catalog.goal):
            return False
        return ask.effort > limits.max_effort_step + ROUNDING

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks above the ceiling."""
        ceiling = highest_accepted_effort(situation) + (situation.catalog.limits.max_effort_step or 0) + ROUNDING
        return [ask for ask in asks if ask.effort > ceiling]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks above the ceiling."""
        ceilings = highest_accepted_efforts(crowd) + (crowd.catalog.limits.max_effort_step or 0) + ROUNDING
        return np.array([ask.effort for ask in asks]) > ceilings.reshape(-1, 1)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """The effort, the limit and the highest accepted effort; time alone never lifts it."""
        limit = number(situation.catalog.limits.max_effort_step or 0)
        highest = number(highest_accepted_effort(situation))
        reason = f"effort {number(ask.effort)} is more than {limit} above the highest accepted effort {highest}"
        return Block(self.name, reason)


def highest_accepted_effort(situation: Situation) -> float:
    """The highest effort among the catalog's asks accepted in the episode, 0 when there is none."""
    state, catalog = situation.state, situation.catalog
    if not state.episode_accepted:
        return 0
    position, asks = catalog.position, catalog.asks
    return max(
        (
            asks[position[ask_id]].effort
            for ask_id, memory in state.asks.items()
            if memory.n_accepted_episode and ask_id in position
        ),
        default=0,
    )


def highest_accepted_efforts(crowd: Crowd) -> FloatArray:
    """``highest_accepted_effort`` for many decisions at once, shape (n,)."""
    asks = crowd.catalog.asks
    is_accepted = crowd.memory("n_accepted_episode", asks) > 0
    highest = np.zeros(len(crowd))
    for column, ask in enumerate(asks):
        np.maximum(highest, ask.effort, out=highest, where=is_accepted[:, column])
    highest[crowd.summary.episode_accepted == 0] = 0
    return highest
