"""The histories to fold: what each visitor's state is made of, merges included, and where decisions look at it.

A history is a stretch in which one visitor's sequence only grows. A merge ends the histories of both visitors and
begins a new one, whose ``past`` is the union of both. To replay a log:

```python
for history in histories(arrivals):
    state = fold(history.past, scopes)
    for moment in history.moments:
        if moment.is_look:
            ...  # what the decision `moment.item` saw is `as_of(state, moment.item.at, scopes)`
        else:
            ...  # the arrival `moment.item` enters the state
```
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import polars as pl

from data.arrivals.arrange import Arrivals
from data.arrivals.conversions import latest_owners
from data.domain import Decision, Event
from data.log.items import items_of


class Moment(NamedTuple):
    """One step of a replay.

    ``is_look``: the decision ``item`` looks at the state here; else ``item`` enters the state. Every arrival enters
    once, every decision looks once: right before it enters or, where it was received later than it was made
    (deferred), after everything that was received until then. ``order`` is the row of ``Arrivals.frame``.
    """

    order: int
    item: Decision | Event
    is_look: bool


@dataclass(frozen=True, slots=True)
class History:
    """A stretch of one visitor's sequence: fold ``past``, then go through ``moments``."""

    owner: int
    visitor_id: str
    past: Sequence[Decision | Event] = ()
    moments: list[Moment] = field(default_factory=list)


class _Arrival(NamedTuple):
    order: int
    owner: int
    item: Decision | Event


def histories(arrivals: Arrivals) -> Iterator[History]:
    """All histories of a log, visitor by visitor; those that are one in the end follow each other.

    Within such a group, a history comes after those it continues. Every row of ``arrivals.frame`` enters exactly one
    history; no history is empty.
    """
    latest = latest_owners(arrivals.merges)
    merges: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for merge in arrivals.merges:
        merges[latest.get(merge[1], merge[1])].append(merge)
    grouped = arrivals.frame.with_columns(pl.col("owner").replace(latest).alias("#latest")).sort("#latest", "order")
    rows = zip(grouped["#latest"], grouped["order"], grouped["owner"], items_of(grouped), strict=True)
    for group, members in groupby(rows, key=lambda row: row[0]):
        replay = _Replay(arrivals.visitors, merges[group])
        yield from replay.histories([_Arrival(*row[1:]) for row in members])


class _Replay:
    """One group of visitors that are one in the end."""

    def __init__(self, visitors: Sequence[str], merges: Sequence[tuple[int, int, int]]) -> None:
        self._visitors = visitors
        self._merges = list(merges)
        self._owner_of: dict[str, int] = {}
        self._current: dict[int, History] = {}
        self._taken: defaultdict[int, list[_Arrival]] = defaultdict(list)

    def histories(self, rows: Sequence[_Arrival]) -> Iterator[History]:
        owners = {owner for merge in self._merges for owner in merge[1:]}
        self._owner_of = {self._visitors[owner]: owner for owner in owners}
        early = [row for row in rows if _is_deferred(row.item)]
        early.sort(key=lambda row: (row.item.at, row.order))
        for row in rows:
            while early and early[0].item.at < row.item.received_at:
                self._look(early.pop(0))
            if self._merges and self._merges[0][0] == row.order:
                yield from self._merge(*self._merges.pop(0)[1:])
            history = self._history(row.owner)
            if isinstance(row.item, Decision) and not _is_deferred(row.item):
                history.moments.append(Moment(row.order, row.item, is_look=True))
            history.moments.append(Moment(row.order, row.item, is_look=False))
            self._taken[row.owner].append(row)
        yield from self._current.values()

    def _history(self, owner: int) -> History:
        if owner not in self._current:
            self._current[owner] = History(owner, self._visitors[owner])
        return self._current[owner]

    def _look(self, row: _Arrival) -> None:
        owner = self._owner_of.get(row.item.visitor_id, row.owner)
        self._history(owner).moments.append(Moment(row.order, row.item, is_look=True))

    def _merge(self, into: int, other: int) -> Iterator[History]:
        for owner in (into, other):
            ended = self._current.pop(owner, None)
            if ended is not None and ended.moments:
                yield ended
        union = sorted(self._taken[into] + self._taken.pop(other, []), key=attrgetter("order"))
        self._taken[into] = union
        self._current[into] = History(into, self._visitors[into], [row.item for row in union])
        for visitor_id, owner in self._owner_of.items():
            if owner == other:
                self._owner_of[visitor_id] = into


def _is_deferred(item: Decision | Event) -> bool:
    return isinstance(item, Decision) and item.received_at > item.at
