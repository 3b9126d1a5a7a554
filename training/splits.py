"""Three parts of a log in time order by visitor: fit, select, judge.

Whoever picks the best of several policies on the data that judges it finds 5 % errors in 20-99 % of cases; so what
fits, what selects and what judges are different visitors, and those who judge came last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from policy.crowd import BoolArray
from training.table import Table

FIT: Final = 0.6
SELECT: Final = 0.15


@dataclass(frozen=True, eq=False)
class Splits:
    """Which episodes do what; no visitor is in two of them.

    Attributes:
        fit: shape (E,); mature episodes that policies are learned from.
        young: shape (E,); episodes whose reward is not known yet: their answers teach, their rewards do not.
        select: shape (E,); mature episodes that choose among policies.
        judge: shape (E,); mature episodes that the gate looks at, of the visitors who came last.
    """

    fit: BoolArray
    young: BoolArray
    select: BoolArray
    judge: BoolArray

    def teaching(self, table: Table) -> BoolArray:
        """The steps that may be learned from, shape (n,)."""
        steps: BoolArray = (self.fit | self.young)[table.episode]
        return steps


def split(table: Table, *, fit: float = FIT, select: float = SELECT) -> Splits:
    """Splits the learnable episodes of a table.

    A visitor belongs where the first of their mature episodes falls; episodes of visitors without any are young. A
    young episode of a visitor who judges or selects is used for nothing.

    Args:
        table: the log.
        fit: share of the visitors with a mature episode that are learned from.
        select: share of them that choose among policies; the rest judges.
    """
    frame = table.episodes.episodes
    owners = frame["owner"].to_numpy()
    is_mature, is_learnable = table.is_mature, table.is_learnable
    usable = is_mature & is_learnable
    # Episodes come in the order in which they started, and so do first appearances of owners.
    known, first = np.unique(owners[usable], return_index=True)
    ranks = np.full(int(owners.max(initial=-1)) + 1, -1)
    ranks[known[np.argsort(first, kind="stable")]] = np.arange(len(known))
    rank = ranks[owners] if len(owners) else np.empty(0, dtype=np.int64)
    n_fit, n_select = round(fit * len(known)), round(select * len(known))
    is_fit = rank < n_fit
    return Splits(
        fit=usable & is_fit,
        young=is_learnable & ~is_mature & is_fit,
        select=usable & (rank >= n_fit) & (rank < n_fit + n_select),
        judge=usable & (rank >= n_fit + n_select),
    )
