"""``requires``: asks that must have been accepted before this one is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.situation import Situation


class Requires(AskRule):
    """Forbids an ask until the visitor has accepted, at any time, every ask it requires."""

    name = "requires"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that require others."""
        return bool(ask.requires)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks of which a requirement is missing."""
        memories = situation.state.asks
        accepted = {ask_id for ask_id, memory in memories.items() if memory.n_accepted}
        return [ask for ask in asks if not accepted.issuperset(ask.requires)]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks of which a requirement is missing."""
        is_accepted = crowd.memory("n_accepted", crowd.catalog.asks) > 0
        position = crowd.catalog.position
        is_met = [is_accepted[:, [position[name] for name in ask.requires]].all(axis=1) for ask in asks]
        return ~np.stack(is_met, axis=1)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """Which asks are missing."""
        memories = situation.state.asks
        missing = [name for name in ask.requires if name not in memories or not memories[name].n_accepted]
        return Block(self.name, f"requires {' and '.join(missing)} to have been accepted")
