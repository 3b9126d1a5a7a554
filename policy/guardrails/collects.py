"""``collects``: nobody is asked what is known already."""

from __future__ import annotations

from collections.abc import Sequence

from data.domain import Ask, Catalog
from policy.guardrails.known import known
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.situation import Situation


class Collects(AskRule):
    """Forbids an ask that collects answers once all of them are known."""

    name = "collects"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that collect answers."""
        return bool(ask.collects)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks all of whose answers are known; a value that counts as missing does not make an answer known."""
        answers = situation.answers
        if not answers:
            return ()
        catalog = situation.catalog
        known_names = {feature.name for feature in catalog.answers if known(feature, answers) is not None}
        return [ask for ask in asks if known_names.issuperset(ask.collects)]

    def explain(self, ask: Ask, situation: Situation) -> Block:  # noqa: ARG002
        """Which answers are known, without their values."""
        verb = "is" if len(ask.collects) == 1 else "are"
        return Block(self.name, f"{' and '.join(ask.collects)} {verb} known already")
