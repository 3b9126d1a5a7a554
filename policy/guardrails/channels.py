"""``channels``: where an ask may be made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import CHANNELS, Ask, Catalog
from policy.crowd import BoolArray, Crowd, Distinct
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import either
from policy.situation import Situation


class Channels(AskRule):
    """Forbids an ask on channels it is not made for."""

    name = "channels"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that are not for every channel."""
        return not set(ask.channels).issuperset(CHANNELS)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks that are not for the request's channel."""
        channel = situation.channel
        return [ask for ask in asks if channel not in ask.channels]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks that are not for the decision's channel."""
        channels = Distinct.of(crowd.channel)
        return np.stack([~channels.where(ask.channels.__contains__) for ask in asks], axis=1)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """The request's channel, and those of the ask."""
        return Block(self.name, f"only on {either(ask.channels)}; the channel is {situation.channel}")
