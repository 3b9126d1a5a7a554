"""``collects``: nobody is asked what is known already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import Ask, Catalog, FeatureValue
from policy.crowd import BoolArray, Crowd
from policy.guardrails.known import answer_column, known
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

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks all of whose answers are known."""
        names = dict.fromkeys(name for ask in asks for name in ask.collects)
        is_known = {name: answer_column(name, crowd).where(_is_known) for name in names}
        return np.stack([np.logical_and.reduce([is_known[name] for name in ask.collects]) for ask in asks], axis=1)

    def explain(self, ask: Ask, situation: Situation) -> Block:  # noqa: ARG002
        """Which answers are known, without their values."""
        verb = "is" if len(ask.collects) == 1 else "are"
        return Block(self.name, f"{' and '.join(ask.collects)} {verb} known already")


def _is_known(value: FeatureValue | None) -> bool:
    return value is not None
