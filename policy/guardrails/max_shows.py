"""``max_shows``: how often an ask may be shown in one episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.scopes import episode_ends_at
from policy.guardrails.wording import at_most, times
from policy.situation import Situation


class MaxShows(AskRule):
    """Forbids an ask that was shown often enough in the episode."""

    name = "max_shows"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks with such a limit."""
        return ask.max_shows is not None

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks that have reached their limit."""
        memories = situation.state.asks
        return [ask for ask in asks if ask.id in memories and memories[ask.id].n_shown_episode >= (ask.max_shows or 0)]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks that have reached their limit."""
        return crowd.memory("n_shown_episode", asks) >= np.array([ask.max_shows or 0 for ask in asks])

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """How often it was shown; lifted when the episode ends."""
        n_shown = situation.state.asks[ask.id].n_shown_episode
        reason = f"shown {times(n_shown)} in this episode; {at_most(ask.max_shows or 0)}"
        return Block(self.name, reason, episode_ends_at(situation))
