"""``exclude``: asks that the request itself rules out."""

from __future__ import annotations

from collections.abc import Sequence

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.situation import Situation


class Exclude(AskRule):
    """Forbids what the request excludes."""

    name = "exclude"
    is_request_rule = True

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Every ask."""
        return True

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """The asks that the request names."""
        exclude = situation.exclude
        return [ask for ask in asks if ask.id in exclude] if exclude else ()

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks that the request rules out, be it for want of a consent."""
        return crowd.withheld[:, crowd.columns(asks)]

    def explain(self, ask: Ask, situation: Situation) -> Block:  # noqa: ARG002
        """That the request says so."""
        return Block(self.name, "the request excludes it")
