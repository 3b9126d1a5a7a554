"""Which rows each visitor's state is folded from, and how many of them each decision saw.

A visitor is one sequence of rows. From a merge on, both visitors are one sequence, made of both histories in order
of arrival; a decision made before still sees its own history alone. Where one history is older than the other, the
older sequence is continued with a copy of the younger one; else a new sequence begins with a copy of both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from data.domain import EVENT_TYPES
from features.segments import IntArray, first_at_least, stable_order

if TYPE_CHECKING:
    import polars as pl

    from data.arrivals import Arrivals

SHOWN: Final = EVENT_TYPES.index("shown")

_Merge: TypeAlias = tuple[int, int, int]
"""The row of a merge, the owner that goes on, the owner that became it."""
_Phases: TypeAlias = list[tuple[int, int]]
"""What something was called after which row; -1 from the beginning."""


@dataclass(frozen=True)
class Sequences:
    """Sequences of rows, end to end, and where in them each decision stands.

    Attributes:
        source: shape (r,); for each row of the sequences, the row of the log that it is or copies.
        starts: shape (s + 1,); sequence ``i`` is rows ``starts[i]:starts[i + 1]``.
        copied: the sequences that hold copies: rows of what was another visitor on their arrival.
        decisions: shape (n,); the rows of the log that are decisions.
        of_decision: shape (n,); the sequence that each decision saw.
        seen_until: shape (n,); it saw the rows of its sequence that are before this one.
    """

    source: IntArray
    starts: IntArray
    copied: IntArray
    decisions: IntArray
    of_decision: IntArray
    seen_until: IntArray


def sequences_of(arrivals: Arrivals) -> Sequences:
    """The sequences of a log, and what each of its decisions saw.

    A decision saw the rows that arrived before it and were received no later than its ``at``; which visitors were
    one at that moment decides whose rows these are.
    """
    frame = arrivals.frame
    owners, merges = _numbered(frame, arrivals.merges)
    strands = _braided(owners, merges)
    source, starts, home = _laid_end_to_end(strands)

    decisions = np.flatnonzero(frame["rank"].to_numpy() == SHOWN)
    at, received_at = frame["at"].to_physical().to_numpy(), frame["received_at"].to_physical().to_numpy()
    known = np.searchsorted(received_at, at[decisions], side="right")
    of_decision, seen_until = strands.of_row[decisions], home[decisions]
    late = np.flatnonzero(known < decisions)
    if len(late):
        length = np.full(len(late), len(source))
        if merges:
            visitors = frame["visitor_id"].gather(decisions[late]).to_list()
            owner_phases = _owner_phases(frame, merges)
            for i, (visitor, row) in enumerate(zip(visitors, known[late].tolist(), strict=True)):
                if visitor in owner_phases:
                    owner = _in_phase(owner_phases[visitor], row)
                    of_decision[late[i]] = _in_phase(strands.phases[owner], row)
                    length[i] = _in_phase(strands.lengths[owner], row)
        low = starts[of_decision[late]]
        high = np.minimum(starts[of_decision[late] + 1], low + length)
        seen_until[late] = first_at_least(source, low, high, known[late])
    copied = np.array(sorted({sequence for sequence, rows in strands.copies if len(rows)}), dtype=np.int64)
    return Sequences(source, starts, copied, decisions, of_decision, seen_until)


@dataclass
class _Strands:
    """Sequences while merges are followed.

    ``of_row`` is the sequence of each row of the log. ``phases`` tells the sequence of an owner that was merged after
    which row, ``lengths`` how many rows that sequence had when the next phase began.
    """

    of_row: IntArray
    n: int
    copies: list[tuple[int, IntArray]] = field(default_factory=list)
    phases: dict[int, _Phases] = field(default_factory=dict)
    lengths: dict[int, _Phases] = field(default_factory=dict)


def _numbered(frame: pl.DataFrame, merges: Sequence[_Merge]) -> tuple[IntArray, list[_Merge]]:
    """Owners as small numbers, and merges by row of the frame; merges that are not in the frame are left out."""
    owners = frame["owner"].to_numpy()
    order = frame["order"].to_numpy()
    rows = np.searchsorted(order, np.array([merge[0] for merge in merges], dtype=np.int64))
    present = [
        (row, into, gone)
        for row, (at, into, gone) in zip(rows.tolist(), merges, strict=True)
        if row < len(order) and order[row] == at
    ]
    named = np.array([merge[1:] for merge in present], dtype=np.int64).reshape(-1)
    every = np.concatenate([owners, named])
    if len(every) and (every.min() < 0 or every.max() > 4 * len(every)):
        every = np.unique(every, return_inverse=True)[1].reshape(-1)
    pairs = every[len(owners) :].reshape(-1, 2).tolist()
    return every[: len(owners)], [(row, into, gone) for (row, *_), (into, gone) in zip(present, pairs, strict=True)]


def _braided(owners: IntArray, merges: Sequence[_Merge]) -> _Strands:
    """Follows the merges in order of arrival."""
    n = 1 + max([int(owners.max(initial=-1)), *(owner for merge in merges for owner in merge[1:])])
    if not merges:
        return _Strands(owners, n)
    strands = _Strands(owners.copy(), n)
    own_rows = _rows_of({owner for merge in merges for owner in merge[1:]}, owners, n)
    history = {owner: np.zeros(0, dtype=np.int64) for owner in own_rows}
    strands.phases = {owner: [(-1, owner)] for owner in own_rows}
    strands.lengths = {owner: [(-1, len(owners))] for owner in own_rows}
    for row, into, gone in merges:
        kept, joined = (
            np.concatenate([history[owner], _between(own_rows[owner], strands.phases[owner][-1][0], row)])
            for owner in (into, gone)
        )
        union = np.concatenate([kept, joined])
        if len(kept) == 0 or (len(joined) and joined[-1] < kept[0]):
            sequence, copies, union = strands.phases[gone][-1][1], kept, np.concatenate([joined, kept])
        elif len(joined) == 0 or kept[-1] < joined[0]:
            sequence, copies = strands.phases[into][-1][1], joined
        else:
            union.sort()
            sequence, copies = strands.n, union
            strands.n += 1
        strands.copies.append((sequence, copies))
        for owner, rows in ((into, kept), (gone, joined)):
            since, _ = strands.lengths[owner].pop()
            strands.lengths[owner] += [(since, len(rows)), (row, len(owners))]
        strands.phases[into].append((row, sequence))
        strands.of_row[_between(own_rows[into], row, len(owners))] = sequence
        history[into] = union
    return strands


def _rows_of(wanted: set[int], owners: IntArray, n: int) -> dict[int, IntArray]:
    """The rows of some owners, ascending."""
    is_wanted = np.zeros(n, dtype=np.bool_)
    is_wanted[list(wanted)] = True
    rows = np.flatnonzero(is_wanted[owners])
    rows = rows[stable_order(owners[rows])]
    names = sorted(wanted)
    edges = np.searchsorted(owners[rows], names, side="left")
    return dict(zip(names, np.split(rows, edges[1:]), strict=True))


def _between(rows: IntArray, first: int, stop: int) -> IntArray:
    low, high = np.searchsorted(rows, [first, stop])
    return rows[low:high]


def _laid_end_to_end(strands: _Strands) -> tuple[IntArray, IntArray, IntArray]:
    """Source and starts of the sequences, and for each row of the log its place in them."""
    n = len(strands.of_row)
    rows = np.concatenate([np.arange(n), *(rows for _, rows in strands.copies)])
    ids = np.concatenate([strands.of_row, *(np.full(len(rows), sequence) for sequence, rows in strands.copies)])
    order = stable_order(ids)
    if strands.copies:
        by_row = stable_order(rows)
        order = by_row[stable_order(ids[by_row])]
    starts = np.zeros(strands.n + 1, dtype=np.int64)
    np.cumsum(np.bincount(ids, minlength=strands.n), out=starts[1:])
    home = np.empty(len(rows), dtype=np.int64)
    home[order] = np.arange(len(rows))
    return rows[order], starts, home[:n]


def _owner_phases(frame: pl.DataFrame, merges: Sequence[_Merge]) -> Mapping[str, _Phases]:
    """By visitor that was ever merged: which owner its rows had after which row."""
    rows = [merge[0] for merge in merges]
    kept_ids, gone_ids = frame["visitor_id"].gather(rows).to_list(), frame["from_id"].gather(rows).to_list()
    phases: dict[str, _Phases] = {}
    members: dict[int, set[str]] = defaultdict(set)
    for (row, into, gone), kept_id, gone_id in zip(merges, kept_ids, gone_ids, strict=True):
        for visitor, owner in ((kept_id, into), (gone_id, gone)):
            phases.setdefault(visitor, [(-1, owner)])
            members[owner].add(visitor)
        for visitor in members.pop(gone):
            phases[visitor].append((row, into))
            members[into].add(visitor)
    return phases


def _in_phase(phases: _Phases, row: int) -> int:
    """What something was called just before a row arrived."""
    return phases[bisect_left(phases, (row, -1)) - 1][1]
