"""``devices``: on which devices an ask may be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from data.domain import Ask, Catalog
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import either
from policy.situation import Situation

_DEVICE: Final = "device"


class Devices(AskRule):
    """Forbids an ask on devices it is not made for; an unknown device is none of them."""

    name = "devices"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks that are not for every device."""
        return bool(ask.devices)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks that are not for the device in the context."""
        device = situation.context.get(_DEVICE)
        return [ask for ask in asks if device not in ask.devices]

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """The device, and those of the ask."""
        device = situation.context.get(_DEVICE)
        found = "not known" if device is None else either([device])
        return Block(self.name, f"only on {either(ask.devices)}; the device is {found}")
