"""Reports of conversions, gathered into conversions: every order once, every purchase once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import polars as pl

from data.episodes.families import Families

DEFAULT_VALUE: Final = 1.0
"""What a conversion is worth when no report of it says."""


class Report(NamedTuple):
    """One row that says that a visitor converted."""

    order: int
    owner: int
    order_id: str | None
    is_goal: bool
    is_repeat: bool


@dataclass(slots=True)
class _Known:
    """What a visitor sequence has reported so far: conversions by order, and the last of either type."""

    orders: dict[str, int] = field(default_factory=dict)
    last_goal: tuple[int, int] | None = None
    last_converted: tuple[int, int] | None = None

    def repeated_by(self, report: Report) -> int | None:
        """The conversion that this report tells of again."""
        if report.order_id is not None and report.order_id in self.orders:
            return self.orders[report.order_id]
        if not report.is_repeat:
            return None
        ours, other = self.last_goal, self.last_converted
        if not report.is_goal:
            ours, other = other, ours
        last = other or ours
        return None if last is None else last[1]

    def learn(self, report: Report, conversion: int) -> None:
        """Remembers the report."""
        if report.order_id is not None:
            self.orders.setdefault(report.order_id, conversion)
        if report.is_goal:
            self.last_goal = (report.order, conversion)
        else:
            self.last_converted = (report.order, conversion)

    def absorb(self, gone: _Known) -> list[tuple[int, int]]:
        """Takes over what another sequence reported; pairs of conversions that turn out to be one order."""
        same = [(self.orders[order_id], other) for order_id, other in gone.orders.items() if order_id in self.orders]
        self.orders = {**gone.orders, **self.orders}
        self.last_goal = max(filter(None, (self.last_goal, gone.last_goal)), default=None)
        self.last_converted = max(filter(None, (self.last_converted, gone.last_converted)), default=None)
        return same


def conversion_numbers(reports: Sequence[Report], families: Families) -> list[int]:
    """For each report, in arrival order, the number of the conversion it tells of.

    Example:
        >>> browser = Report(order=3, owner=0, order_id="o-1", is_goal=True, is_repeat=False)
        >>> webhook = Report(order=4, owner=0, order_id="o-1", is_goal=False, is_repeat=True)
        >>> conversion_numbers([browser, webhook], Families([]))
        [0, 0]
    """
    numbers: list[int] = []
    known: dict[int, _Known] = {}
    same_as: dict[int, int] = {}
    merges = list(reversed(families.merges))
    for report in reports:
        while merges and merges[-1][0] < report.order:
            _merge(known, merges.pop(), same_as)
        memory = known.setdefault(report.owner, _Known())
        conversion = memory.repeated_by(report)
        if conversion is None:
            conversion = len(numbers)
        memory.learn(report, conversion)
        numbers.append(conversion)
    while merges:
        _merge(known, merges.pop(), same_as)
    return [_first(number, same_as) for number in numbers]


def conversions_of(reports: pl.DataFrame, families: Families) -> pl.DataFrame:
    """One row a conversion.

    Args:
        reports: rows with ``order owner order_id is_goal is_repeat time received_at value``, in arrival order.
        families: the merges.

    Returns:
        ``order owner time`` of the earliest report, ``received_at`` of the first that arrived, ``value``, and
        ``is_accepted``: whether one of the reports is an acceptance of the goal ask.
    """
    rows = reports.select(Report._fields).iter_rows()
    numbers = conversion_numbers([Report(*row) for row in rows], families)
    numbered = reports.with_columns(pl.Series("conversion", numbers, dtype=pl.Int64))
    return (
        numbered.sort("time", "order")
        .group_by("conversion", maintain_order=True)
        .agg(
            pl.col("order", "owner", "time").first(),
            pl.col("received_at").min(),
            pl.col("value").sort_by("order").drop_nulls().last().fill_null(DEFAULT_VALUE),
            pl.col("is_goal").any().alias("is_accepted"),
        )
        .drop("conversion")
    )


def _merge(known: dict[int, _Known], merge: tuple[int, int, int], same_as: dict[int, int]) -> None:
    _, into, gone = merge
    absorbed = known.pop(gone, None)
    if absorbed is None:
        return
    for one, other in known.setdefault(into, _Known()).absorb(absorbed):
        first, second = sorted((_first(one, same_as), _first(other, same_as)))
        if first != second:
            same_as[second] = first


def _first(number: int, same_as: dict[int, int]) -> int:
    while number in same_as:
        number = same_as[number]
    return number
