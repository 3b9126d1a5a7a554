"""How fast a log becomes features, against the bare sort of its rows: ``python -m benchmarks.features [--visitors N]``.

The log is synthetic and already arranged: visits with a few asks, answers and signals, some returns, and a few events
that arrive late. Sorting its rows by visitor and time is the least that any way of making features has to do, so all
speeds are also given as a share of the sort's in the same run. Then the cost of one decision with 20 asks.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from data.domain import EVENT_TYPES, SECOND, Ask, Catalog, Decision, Event, Feature
from features.frames import encode_frame, learn_spec
from features.inputs import InputCodes
from features.lowering import lower
from features.matrix import FeatureColumns
from features.spec import FeatureSpec
from features.state import Scopes, as_of, fold
from features.summary import summarize

N_ASKS = 20
ROWS_PER_VISITOR = 25
SORT_KEYS = ("visitor_id", "received_at", "at", "rank")
DAY = 86_400


@dataclass(frozen=True)
class Arranged:
    """As much of ``data.arrivals.Arrivals`` as lowering reads."""

    frame: pl.DataFrame
    merges: tuple[tuple[int, int, int], ...] = ()


def catalog() -> Catalog:
    asks = tuple(Ask(f"ask-{i}", f"Ask {i}", "quiz", i / 2, gives=3) for i in range(N_ASKS))
    return Catalog(
        "bench",
        asks[-1].id,
        tuple(ask.id for ask in asks[3::4]),
        asks,
        signals=("page", "scroll", "cart"),
        context=(Feature("device", "category", ("desktop", "mobile")), Feature("basket", "number", minimum=0)),
        answers=(Feature("skin", "category"),),
    )


def arranged(n_visitors: int, seed: int) -> Arranged:
    rng = np.random.default_rng(seed)
    n = n_visitors * ROWS_PER_VISITOR
    visitor = np.repeat(np.arange(n_visitors), ROWS_PER_VISITOR)
    waits = np.cumsum(rng.choice([5, 40, 7_200, 2 * DAY], n, p=[0.5, 0.4, 0.07, 0.03]) + rng.integers(0, 5, n))
    begins = rng.integers(0, 30 * DAY, n_visitors) - waits[::ROWS_PER_VISITOR]
    at = (1_700_000_000 + waits + np.repeat(begins, ROWS_PER_VISITOR)) * SECOND
    rank = rng.choice(len(EVENT_TYPES), n, p=[0.4, 0.15, 0.14, 0.05, 0.005, 0.005, 0.25, 0.0])
    delay = np.where((rng.random(n) < 0.005) & (rank != 0), 3_600 * SECOND, 0)
    ask = rng.integers(0, N_ASKS - 1, n) + (rng.random(n) < 0.05)
    frame = pl.DataFrame(
        {
            "visitor_id": pl.Series(visitor).cast(pl.String) + "-visitor",
            "owner": visitor,
            "at": at,
            "received_at": at + delay,
            "shown_at": nothing(n, pl.Int64),
            "rank": rank,
            "type": named(rank, EVENT_TYPES),
            "ask_id": named(np.where(rank <= 3, ask, -1), [f"ask-{i}" for i in range(N_ASKS)]),
            "signal": named(np.where(rank == 6, rng.integers(0, 3, n), -1), ("page", "scroll", "cart")),
            "order_id": nothing(n, pl.String),
            "from_id": nothing(n, pl.String),
            "is_repeat": np.zeros(n, dtype=bool),
            "channel": named(np.zeros(n, dtype=np.int64), ("web",)),
            "context.device": named(rng.integers(-1, 3, n), ("desktop", "mobile", "tablet")),
            "context.basket": rng.random(n) * 100,
            "answers.skin": named(rng.integers(-1, 2, n), ("dry", "oily")),
        }
    )
    times = [pl.col(name).cast(pl.Datetime("us", "UTC")) for name in ("at", "received_at", "shown_at")]
    arrived = frame.with_columns(times).sort("received_at", "at", "rank").with_row_index("order")
    return Arranged(arrived.with_columns(pl.col("order").cast(pl.Int64)))


def named(codes: Any, names: Any) -> pl.Series:
    """Names by position, null for -1."""
    return pl.Series([*names, None], dtype=pl.String).gather(np.where(codes < 0, len(names), codes))


def nothing(n: int, dtype: Any) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, n)


def seconds(runs: dict[str, Callable[[], Any]], repeats: int = 5) -> dict[str, float]:
    """The best of some turns each, taken in turns, so that a busy machine is busy for all."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def time_log(log: Arranged, journey: Catalog, threads: int) -> FeatureSpec:
    """Prints the speed of each step over the whole log, the matrix for the asks that were shown."""
    decisions = log.frame.filter(pl.col("type") == "shown")
    spec = learn_spec(journey, decisions)
    columns = FeatureColumns(spec, journey)
    position = dict(journey.position)
    asks = decisions["ask_id"].replace_strict(position, return_dtype=pl.Int64).to_numpy()
    offsets = np.arange(len(asks) + 1)
    lowered, given = lower(log, journey), encode_frame(spec, decisions)  # type: ignore[arg-type]
    times = seconds(
        {
            "sort": lambda: log.frame.sort(SORT_KEYS),
            "lower": lambda: lower(log, journey, threads=threads),  # type: ignore[arg-type]
            "encode": lambda: encode_frame(spec, decisions),
            "matrix": lambda: columns.matrix(lowered.summary, given, offsets, asks),
        }
    )
    n = log.frame.height
    print(f"{n:,} rows, {len(asks):,} decisions, {len(spec.names)} columns, {N_ASKS} asks")
    for name, taken in times.items():
        print(f"  {name:8} {taken:7.3f} s  {n / taken / 1e6:6.2f} M rows/s")
    whole = sum(times.values()) - times["sort"]
    print(f"  all      {whole:7.3f} s  {n / whole / 1e6:6.2f} M rows/s = {times['sort'] / whole:.2f} of the bare sort")
    print(f"  matrix alone: {times['matrix'] / len(asks) * 1e6:.2f} s per million rows of it")
    return spec


def time_decision(journey: Catalog, spec: FeatureSpec) -> None:
    """Prints the cost of one decision: 20 candidates, 50 past events."""
    scopes, start = Scopes.of(journey), 1_700_000_000 * SECOND
    history: list[Decision | Event] = []
    for i in range(25):
        at, ask = start + i * 60 * SECOND, f"ask-{i % (N_ASKS - 1)}"
        history.append(Decision(f"d{i}", "v", "bench", at, at, ask, 1.0, None, "baseline"))
        kind: Any = "accepted" if i % 2 else "declined"
        history.append(Event("v", kind, at + SECOND, at + SECOND, "bench", ask_id=ask, decision_id=f"d{i}"))
    now = start + 1_600 * SECOND
    state = as_of(fold(history, scopes), now, scopes)
    codes, columns = InputCodes(spec), FeatureColumns(spec, journey)
    context: Any = {"device": "mobile", "basket": 12.5}
    summary, given = summarize([state], [now], journey), codes.encode([context], [{}], ["web"], [now])
    offsets, asks = np.array([0, N_ASKS]), np.arange(N_ASKS)

    def many(run: Callable[[], Any]) -> Callable[[], None]:
        return lambda: [run() for _ in range(1_000)] and None

    times = seconds(
        {
            "summarize": many(lambda: summarize([state], [now], journey)),
            "encode": many(lambda: codes.encode([context], [{}], ["web"], [now])),
            "matrix": many(lambda: columns.matrix(summary, given, offsets, asks)),
        }
    )
    print(f"one decision, {N_ASKS} candidates, 50 past events")
    for name, taken in times.items():
        print(f"  {name:9} {taken * 1e3:6.1f} us")
    print(f"  all       {sum(times.values()) * 1e3:6.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--visitors", type=int, default=40_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="for lowering; the sort takes all")
    arguments = parser.parse_args()
    log, journey = arranged(arguments.visitors, seed=0), catalog()
    time_decision(journey, time_log(log, journey, arguments.threads))


if __name__ == "__main__":
    main()
