"""How fast a log becomes features, against the bare sort of its rows: ``python -m benchmarks.features [VISITORS]``.

The log is synthetic and already arranged: visits of a few asks, answers, signals, some returns, and a few events that
arrive late. The ratio says how much longer lowering and matrix take than sorting the same rows by visitor and time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from data.domain import EVENT_TYPES, SECOND, Ask, Catalog, Feature
from features.frames import encode_frame, learn_spec
from features.lowering import lower
from features.matrix import FeatureColumns

N_ASKS = 20
ROWS_PER_VISITOR = 25


@dataclass(frozen=True)
class Arranged:
    """As much of ``data.arrivals.Arrivals`` as lowering reads."""

    frame: pl.DataFrame
    merges: tuple[tuple[int, int, int], ...] = ()


def catalog() -> Catalog:
    asks = tuple(Ask(f"ask-{i}", f"Ask {i}", "quiz", i / 2, gives=3) for i in range(N_ASKS))
    return Catalog("bench", asks[-1].id, tuple(ask.id for ask in asks[::4]), asks, signals=("page", "scroll", "cart"), context=(Feature("device", "category", ("desktop", "mobile")), Feature("basket", "number", minimum=0)), answers=(Feature("skin", "category"),))


def arranged(n_visitors: int, seed: int) -> Arranged:
    rng = np.random.default_rng(seed)
    n = n_visitors * ROWS_PER_VISITOR
    visitor = np.repeat(np.arange(n_visitors), ROWS_PER_VISITOR)
    wait = rng.choice([5, 40, 7_200, 200_000], n, p=[0.5, 0.4, 0.07, 0.03]) * SECOND + rng.integers(0, SECOND, n)
    starts = np.repeat(rng.integers(0, 30 * 86_400 * SECOND, n_visitors), ROWS_PER_VISITOR)
    walk = np.cumsum(wait)
    at = 1_700_000_000 * SECOND + starts + walk - np.repeat(walk[::ROWS_PER_VISITOR], ROWS_PER_VISITOR)
    kinds = rng.choice(8, n, p=[0.4, 0.15, 0.14, 0.05, 0.005, 0.005, 0.25, 0.0])
    late = np.where((rng.random(n) < 0.005) & (kinds != 0), 3_600 * SECOND, 0)
    has_ask = kinds <= 3
    asks = rng.integers(0, N_ASKS - 1, n) + (rng.random(n) < 0.05)
    frame = pl.DataFrame(
        {
            "visitor_id": pl.Series(visitor).cast(pl.String) + "-visitor",
            "owner": visitor,
            "at": at,
            "received_at": at + late,
            "shown_at": pl.Series([None] * n, dtype=pl.Int64),
            "rank": kinds,
            "type": pl.Series(np.array(EVENT_TYPES)[kinds]),
            "ask_id": pl.Series(np.where(has_ask, asks, -1)).replace_strict(
                {-1: None} | {i: f"ask-{i}" for i in range(N_ASKS)}, return_dtype=pl.String
            ),
            "signal": pl.Series(np.where(kinds == 6, rng.integers(0, 3, n), -1)).replace_strict(
                {-1: None, 0: "page", 1: "scroll", 2: "cart"}, return_dtype=pl.String
            ),
            "order_id": pl.Series([None] * n, dtype=pl.String),
            "from_id": pl.Series([None] * n, dtype=pl.String),
            "is_repeat": np.zeros(n, dtype=bool),
            "context.device": pl.Series(rng.choice(["desktop", "mobile", "tablet"], n)),
            "context.basket": rng.random(n) * 100,
            "answers.skin": pl.Series(rng.choice(["dry", "oily", ""], n)).replace("", None),
            "channel": pl.Series(["web"] * n),
        }
    )
    times = [pl.col(name).cast(pl.Datetime("us", "UTC")) for name in ("at", "received_at", "shown_at")]
    return Arranged(frame.with_columns(times).sort("received_at", "at", "rank").with_row_index("order").cast({"order": pl.Int64}))


def seconds(run: Callable[[], Any], repeats: int = 3) -> float:
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    n_visitors = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    log, journey = arranged(n_visitors, seed=0), catalog()
    n = log.frame.height
    decisions = log.frame.filter(pl.col("type") == "shown")
    spec = learn_spec(journey, decisions)
    columns = FeatureColumns(spec, journey)
    asks = decisions["ask_id"].replace_strict({a: i for i, a in enumerate(journey.position)}, return_dtype=pl.Int64).to_numpy()
    offsets = np.arange(len(asks) + 1)
    keys = ("visitor_id", "received_at", "at", "rank")
    sort = seconds(lambda: log.frame.sort(keys))
    lean = seconds(lambda: log.frame.select("owner", "order", "at", "received_at", "rank", "ask_id", "signal").sort("owner", "order"))
    low = seconds(lambda: lower(log, journey))
    summary = lower(log, journey).summary
    enc = seconds(lambda: encode_frame(spec, decisions))
    given = encode_frame(spec, decisions)
    mat = seconds(lambda: columns.matrix(summary, given, offsets, asks))
    print(f"{n} rows, {len(asks)} dec {len(spec.names)} cols; sort {sort:.3f} s lean {lean:.3f} lower {low:.3f} enc {enc:.3f} matrix {mat:.3f}; ratio {sort/(low+enc+mat):.2f} lean {lean/(low+enc+mat):.2f}")


if __name__ == "__main__":
    main()
