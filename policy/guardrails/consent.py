"""``consent``: asks that need a consent in the request, sensitive ones among them."""

from __future__ import annotations

from collections.abc import Sequence

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.situation import Situation


class Consent(AskRule):
    """Forbids an ask whose consent the request does not carry."""

    name = "consent"
    is_request_rule = True

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that name a consent."""
        return ask.consent is not None

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks whose consent is not there."""
        consents = situation.consents
        return [ask for ask in asks if ask.consent not in consents]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks that the request rules out; a log does not tell for want of which consent, or whether of any."""
        return crowd.withheld[:, crowd.columns(asks)]

    def explain(self, ask: Ask, situation: Situation) -> Block:  # noqa: ARG002
        """The consent that is missing."""
        return Block(self.name, f"needs the consent {ask.consent}, which the request does not carry")
