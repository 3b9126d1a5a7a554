"""Which visitors are one, and since when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class Merge(NamedTuple):
    """From ``order`` on, ``from_visitor`` and all that were one with it are ``into_visitor``."""

    order: int
    into_visitor: str
    from_visitor: str


class Lineage:
    """The merges of a log, replayed in order of arrival.

    ``merges`` holds those that changed something, between the visitors that stood for each side at that time;
    ``repeated`` the orders of those that joined visitors who were one already.

    Example:
        >>> lineage = Lineage([Merge(3, "b", "a"), Merge(7, "c", "b")])
        >>> [lineage.visitor("a", order) for order in (2, 3, 7)]
        ['a', 'b', 'c']
    """

    def __init__(self, merges: Iterable[Merge]) -> None:
        self._since: dict[str, tuple[list[int], list[str]]] = {}
        members: dict[str, list[str]] = {}
        effective: list[Merge] = []
        repeated: list[int] = []
        for order, into_visitor, from_visitor in merges:
            into, other = self.latest(into_visitor), self.latest(from_visitor)
            if into == other:
                repeated.append(order)
                continue
            moved = members.pop(other, [other])
            members.setdefault(into, [into]).extend(moved)
            for visitor_id in moved:
                orders, visitors = self._since.setdefault(visitor_id, ([], []))
                orders.append(order)
                visitors.append(into)
            effective.append(Merge(order, into, other))
        self.merges = tuple(effective)
        self.repeated = tuple(repeated)

    @property
    def visitors(self) -> frozenset[str]:
        """Every visitor that a merge changed or extended."""
        return frozenset(self._since) | {merge.into_visitor for merge in self.merges}

    def visitor(self, visitor_id: str, order: int) -> str:
        """Whom a visitor stands for in what arrives at ``order``: a merge counts from its own order on."""
        since = self._since.get(visitor_id)
        if since is None:
            return visitor_id
        index = bisect_right(since[0], order)
        return since[1][index - 1] if index else visitor_id

    def latest(self, visitor_id: str) -> str:
        """Whom a visitor stands for after all merges."""
        since = self._since.get(visitor_id)
        return visitor_id if since is None else since[1][-1]
