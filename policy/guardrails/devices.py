"""``devices``: on which devices an ask may be made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import DEVICE, BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import either
from policy.situation import Situation


class Devices(AskRule):
    """Forbids an ask on devices it is not made for; an unknown device is none of them."""

    name = "devices"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that are not for every device."""
        return bool(ask.devices)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks that are not for the device in the context."""
        device = situation.context.get(DEVICE)
        return [ask for ask in asks if device not in ask.devices]

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks that are not for the device in the context."""
        devices = crowd.told(DEVICE, is_context=True)
        return np.stack([~devices.where(ask.devices.__contains__) for ask in asks], axis=1)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """The device, and those of the ask."""
        device = situation.context.get(DEVICE)
        found = "not known" if device is None else either([device])
        return Block(self.name, f"only on {either(ask.devices)}; the device is {found}")
