"""What a guardrail is: a pure rule that may forbid an ask to a visitor now, and says why in plain words."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

from data.domain import Ask, Catalog
from policy.situation import Situation


class Block(NamedTuple):
    """Why an ask is forbidden now.

    ``reason`` is for a marketer ("accepted at 10:02 in this episode"). ``until`` is the instant at which time
    alone lifts this block, ``None`` where time alone never does.
    """

    guardrail: str
    reason: str
    until: int | None = None


class Guardrail(Protocol):
    """One named rule of the catalog.

    ``is_effort_rule`` marks the rules that the direct ask may skip; ``is_request_rule`` those that depend on
    nothing but the request's ``exclude`` and ``consents``.
    """

    name: ClassVar[str]
    is_effort_rule: ClassVar[bool]
    is_request_rule: ClassVar[bool]

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:
        """Whether this rule can ever forbid this ask under this catalog; absent limits concern nobody."""

    def block(self, ask: Ask, situation: Situation) -> Block | None:
        """The reason why the ask is forbidden now, or ``None``. Called only where ``concerns`` is true."""
