"""``excludes``: asks whose acceptance rules this one out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import clock
from policy.situation import Situation


class Excludes(AskRule):
    """Forbids an ask for ever once the visitor has accepted one that it excludes."""

    name = "excludes"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that exclude others."""
        return bool(ask.excludes)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks that an accepted one rules out."""
        memories = situation.state.asks
        accepted = {ask_id for ask_id, memory in memories.items() if memory.n_accepted}
        return [ask for ask in asks if not accepted.isdisjoint(ask.excludes)]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks that an accepted one rules out."""
        is_accepted = crowd.memory("n_accepted", crowd.catalog.asks) > 0
        position = crowd.catalog.position
        return np.stack([is_accepted[:, [position[name] for name in ask.excludes]].any(axis=1) for ask in asks], axis=1)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """Which accepted ask rules it out."""
        memories = situation.state.asks
        name = next(name for name in ask.excludes if name in memories and memories[name].n_accepted)
        at = clock(memories[name].accepted_at, situation.now)
        return Block(self.name, f"ruled out by {name}, accepted at {at}")
