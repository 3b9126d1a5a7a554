"""Small simulated logs, and tables of them, for tests of training."""

from __future__ import annotations

from functools import lru_cache

import polars as pl

from benchmarks.learning.logs import played_log
from data.arrivals import arrange
from data.simulator.worlds import world
from policy.policies import DayZero
from training.table import Table, table_of

SKINCARE = world("skincare")
CATALOG = SKINCARE.catalog


@lru_cache(maxsize=4)
def day_zero_log(n: int = 1_500, seed: int = 1, days: float = 20.0) -> pl.DataFrame:
    """What ``n`` visitors of the skincare world did under day zero's policy."""
    return played_log(SKINCARE, DayZero(0.5), n, seed, days=days, label="baseline")


def latest(frame: pl.DataFrame) -> int:
    """The moment of the last receipt, in microseconds."""
    return int(frame["received_at"].to_physical().max())


def table(frame: pl.DataFrame, catalog=CATALOG, now: int | None = None) -> Table:
    """The learning table of a log."""
    return table_of(arrange(frame, catalog), catalog, now=latest(frame) if now is None else now)


@lru_cache(maxsize=2)
def day_zero_table(n: int = 1_500, seed: int = 1) -> Table:
    """The learning table of ``day_zero_log``."""
    return table(day_zero_log(n, seed))
