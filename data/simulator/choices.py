"""Which asks a fixed policy may show: the baseline's rule, and free choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from data.domain import Catalog
from data.errors import BadInput
from data.simulator.rules import NOTHING, Memory, Rules

Choose: TypeAlias = Callable[[Memory], Sequence[int]]
"""The asks (indices, `NOTHING` included) that may follow a memory; each equally likely."""


def free_choice(rules: Rules) -> Choose:
    """Every eligible ask; nothing where that is allowed or nothing else is left."""

    def choose(memory: Memory) -> Sequence[int]:
        eligible = rules.eligible(memory)
        return (*eligible, NOTHING) if rules.allow_nothing or not eligible else eligible

    return choose


def in_order(rules: Rules, sequence: Sequence[int]) -> Choose:
    """The rule of a baseline: first eligible ask not yet shown, else first eligible, else nothing."""

    def choose(memory: Memory) -> Sequence[int]:
        eligible = rules.eligible(memory)
        possible = [ask for ask in sequence if ask in eligible]
        new = [ask for ask in possible if not rules.n_shown(memory, ask)]
        return (new or possible or [NOTHING])[:1]

    return choose


def positions(catalog: Catalog, sequence: Sequence[str]) -> list[int]:
    """Indices of asks in the catalog.

    Raises:
        BadInput: an ask is unknown.
    """
    for ask in sequence:
        if ask not in catalog.position:
            allowed = ", ".join(catalog.position)
            raise BadInput(f"journey {catalog.journey}: unknown ask; received {ask!r}; allowed: {allowed}")
    return [catalog.position[ask] for ask in sequence]
