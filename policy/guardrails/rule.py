"""The two shapes a guardrail has: about an ask, and about all asks alike.

A rule about an ask judges many asks in one call (``forbidden``) and words its reason only for those it forbids:
that is what makes twenty asks under twenty rules a matter of microseconds.

Each rule says the same a second time, of many decisions at once (``mask``), for training. The contract tests hold
both together for every registered rule; a rule without the second form serves, but nothing can be learned under it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from data.domain import Ask, Catalog
from policy.crowd import BoolArray, Crowd
from policy.guardrails.protocol import Block
from policy.situation import Situation


class AskRule(ABC):
    """A guardrail that depends on the ask; implements ``Guardrail``."""

    name: ClassVar[str]
    is_effort_rule: ClassVar[bool] = False
    is_request_rule: ClassVar[bool] = False

    @abstractmethod
    def concerns(self, ask: Ask, catalog: Catalog) -> bool:
        """Whether this rule can ever forbid this ask under this catalog."""

    @abstractmethod
    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Those of the asks, all of which it concerns, that it forbids now."""

    @abstractmethod
    def explain(self, ask: Ask, situation: Situation) -> Block:
        """Why an ask that is forbidden now is forbidden, and until when."""

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Which of the asks, all of which it concerns, it forbids at each decision; shape (n, number of asks).

        A request rule forbids what the crowd has as ``withheld``.

        Raises:
            NotImplementedError: the rule has no form for many decisions.
        """
        raise NotImplementedError(f"guardrail {self.name} judges {len(asks)} asks one by one only: it has no mask")

    def block(self, ask: Ask, situation: Situation) -> Block | None:
        """The reason why the ask is forbidden now, or ``None``."""
        return self.explain(ask, situation) if self.forbidden((ask,), situation) else None

    def screen(self, asks: Sequence[Ask], situation: Situation, blocks: dict[str, Block]) -> None:
        """Adds this rule's blocks of those asks that have none yet."""
        for ask in self.forbidden(asks, situation):
            if ask.id not in blocks:
                blocks[ask.id] = self.explain(ask, situation)


class JourneyRule(ABC):
    """A guardrail that treats every ask alike and is evaluated once a situation; implements ``Guardrail``."""

    name: ClassVar[str]
    is_effort_rule: ClassVar[bool] = False
    is_request_rule: ClassVar[bool] = False

    @abstractmethod
    def is_on(self, catalog: Catalog) -> bool:
        """Whether the catalog sets this limit."""

    @abstractmethod
    def block_all(self, situation: Situation) -> Block | None:
        """The reason why nothing may be asked now, or ``None``."""

    def mask_all(self, crowd: Crowd) -> BoolArray:
        """At which decisions nothing may be asked, shape (n,).

        Raises:
            NotImplementedError: the rule has no form for many decisions.
        """
        raise NotImplementedError(f"guardrail {self.name} judges {len(crowd)} decisions one by one only: no mask_all")

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """``mask_all`` for each of the asks, shape (n, number of asks); not to be written to."""
        return np.broadcast_to(self.mask_all(crowd).reshape(-1, 1), (len(crowd), len(asks)))

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Whether this rule can ever forbid an ask under this catalog."""
        return self.is_on(catalog)

    def block(self, ask: Ask, situation: Situation) -> Block | None:  # noqa: ARG002
        """The reason why the ask is forbidden now, or ``None``."""
        return self.block_all(situation)

    def screen(self, asks: Sequence[Ask], situation: Situation, blocks: dict[str, Block]) -> None:
        """Adds this rule's block to those asks that have none yet."""
        block = self.block_all(situation)
        if block is not None:
            for ask in asks:
                blocks.setdefault(ask.id, block)
