"""``accepted``: an ask accepted in this episode is not asked again in it."""

from __future__ import annotations

from collections.abc import Sequence

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.scopes import episode_ends_at
from policy.guardrails.wording import clock
from policy.situation import Situation


class Accepted(AskRule):
    """Forbids what was accepted in the episode, unless the ask is ``repeatable``."""

    name = "accepted"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that are not repeatable."""
        return ask.repeat_after_s is None

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks accepted in the episode, prompted or not."""
        memories = situation.state.asks
        return [ask for ask in asks if ask.id in memories and memories[ask.id].n_accepted_episode > 0]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks accepted in the episode, prompted or not."""
        return crowd.memory("n_accepted_episode", asks) > 0

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """When it was accepted; lifted when the episode ends."""
        at = clock(situation.state.asks[ask.id].accepted_at, situation.now)
        return Block(self.name, f"accepted at {at} in this episode", episode_ends_at(situation))
