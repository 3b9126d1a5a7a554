"""Which visitor sequences were one person, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

Merge: TypeAlias = tuple[int, int, int]
"""The arrival order of a merge, the owner that survives, and the owner that became it."""

END: Final = 2**62
"""An arrival order after every row."""


class Families:
    """Merges, asked for what was one at a moment (an arrival order).

    Example:
        >>> families = Families([(5, 1, 2)])
        >>> sorted(families.members(1, 4)), sorted(families.members(1, 6)), families.person(2)
        ([1], [1, 2], 1)
    """

    def __init__(self, merges: Iterable[Merge]) -> None:
        self.merges: Sequence[Merge] = sorted(merges)
        self._into: dict[int, int] = {}
        self._parts: dict[int, list[tuple[int, int]]] = {}
        for order, into, gone in self.merges:
            self._into[gone] = into
            self._parts.setdefault(into, []).append((order, gone))

    @property
    def merged(self) -> frozenset[int]:
        """Owners that took part in a merge."""
        return frozenset(self._into) | frozenset(self._parts)

    def members(self, owner: int, order: int) -> Iterator[int]:
        """The owners that were one with this one before that arrival order, itself first."""
        waiting = [owner]
        while waiting:
            member = waiting.pop()
            yield member
            waiting.extend(gone for merged_at, gone in self._parts.get(member, ()) if merged_at < order)

    def person(self, owner: int) -> int:
        """The owner that this one is part of at the end of the log."""
        while owner in self._into:
            owner = self._into[owner]
        return owner
