"""How long the SQLite store takes to remember a decision, beside a bare INSERT loop in the same run.

    python benchmarks/store.py [--decisions 20000] [--visitors 5000] [--folder DIR]

One decision here is what the service does for one: read the visitor, then commit the decision together with the
visitor's new state. Ratios carry over to another machine; microseconds do not.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data.domain import Decision, Event
from data.stores.protocol import Commit, StatusWrite, StoredDecision, StoredEvent, VisitorWrite
from data.stores.sqlite import SqliteStore

ASKS = tuple(f"ask_{n}" for n in range(20))
STATE_BYTES = 700
AUDIT_BYTES = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--visitors", type=int, default=5_000)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the databases are made (default: a temporary one)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        measure(Path(folder), arguments.decisions, arguments.visitors)


def measure(folder: Path, n: int, n_visitors: int) -> None:
    rnd = random.Random(1)
    visitor_ids = [rnd.randbytes(16).hex() for _ in range(n_visitors)]
    bare = bare_inserts(folder / "bare.db", n, rnd)
    print(f"{'':34}{'us each':>10}{'ratio':>8}{'p50 us':>9}{'p99 us':>9}{'p99.9 us':>10}{'max ms':>8}{'B each':>8}")
    show("bare INSERT, one transaction each", bare, bare[0])
    for sync, group, share in (
        ("normal", 1, 1),
        ("normal", 8, 1),
        ("normal", 32, 1),
        ("full", 1, 20),
        ("full", 8, 10),
        ("full", 32, 10),
    ):
        path = folder / f"{sync}-{group}.db"
        store = SqliteStore(path, sync=sync)
        times = decide(store, n // share, group, visitor_ids, random.Random(2))
        if (sync, group) == ("normal", 1):
            answered = answer(store, n)
            logged, reading = read_log(store), read_visitors(store, visitor_ids)
        store.close()
        show(f"read + commit, groups of {group}, {sync}", (*times, path.stat().st_size / (n // share)), bare[0])
    show("event + status + state (outcome)", answered, bare[0])
    print(f"read 1 visitor {reading[0]:.1f} us, 100 visitors {reading[1]:.0f} us; log: {logged:,.0f} rows/s")


def bare_inserts(path: Path, n: int, rnd: random.Random) -> tuple[float, list[float], float]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, record BLOB)")
    record = rnd.randbytes(AUDIT_BYTES)
    times = []
    started = time.perf_counter()
    for i in range(n):
        at = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows VALUES (?, ?)", (f"{i:032x}", record))
        connection.execute("COMMIT")
        times.append(time.perf_counter() - at)
    each = (time.perf_counter() - started) / n
    connection.close()
    return each, times, path.stat().st_size / n


def decide(
    store: SqliteStore, n: int, group: int, visitor_ids: list[str], rnd: random.Random
) -> tuple[float, list[float]]:
    audit, times, spent, made = rnd.randbytes(AUDIT_BYTES), [], 0.0, 0
    while made < n:
        chosen = rnd.sample(visitor_ids, group)
        decisions = [decision(made + i, visitor_id) for i, visitor_id in enumerate(chosen)]
        state = rnd.randbytes(rnd.randrange(STATE_BYTES // 2, STATE_BYTES * 3 // 2))
        at = time.perf_counter()
        commits = []
        for one in decisions:
            row = store.visitors((one.visitor_id,)).get(one.visitor_id)
            version = 0 if row is None else row.version
            write = VisitorWrite(one.visitor_id, version, version + 1, state)
            commits.append(
                Commit(visitors=(write,), decisions=(StoredDecision(one, request_digest=b"d" * 16, audit=audit),))
            )
        if not all(store.commit(commits)):
            raise SystemExit("a commit was refused")
        times.append(time.perf_counter() - at)
        spent += times[-1]
        made += group
    return spent / made, times


def answer(store: SqliteStore, n: int) -> tuple[float, list[float]]:
    times = []
    for i in range(n):
        stored = store.decisions((decision_id(i),))[decision_id(i)]
        visitor_id = stored.decision.visitor_id
        row = store.visitors((visitor_id,))[visitor_id]
        at_ = stored.decision.at + 5_000_000
        event = Event(visitor_id, "accepted", at_, at_, "skincare", "ask_3", f"e-{i}", decision_id(i))
        at = time.perf_counter()
        done = store.commit(
            (
                Commit(
                    visitors=(VisitorWrite(visitor_id, row.version, row.version + 1, row.state),),
                    events=(StoredEvent(f"e-{i}", event),),
                    statuses=(StatusWrite(decision_id(i), "accepted", at_),),
                ),
            )
        )
        times.append(time.perf_counter() - at)
        if not all(done):
            raise SystemExit("an answer was refused")
    return sum(times) / n, times


def read_log(store: SqliteStore) -> float:
    started = time.perf_counter()
    n_rows = sum(len(batch) for batch in store.log("skincare"))
    return n_rows / (time.perf_counter() - started)


def read_visitors(store: SqliteStore, visitor_ids: list[str]) -> tuple[float, float]:
    def timed(work: Callable[[], object], n: int) -> float:
        started = time.perf_counter()
        for _ in range(n):
            work()
        return (time.perf_counter() - started) / n * 1e6

    return timed(lambda: store.visitors(visitor_ids[:1]), 5_000), timed(lambda: store.visitors(visitor_ids[:100]), 200)


def decision_id(i: int) -> str:
    return f"018f{i:028x}"


def decision(i: int, visitor_id: str) -> Decision:
    at = 1_790_000_000_000_000 + i * 1_000
    context = {"device": "mobile", "referrer": "search", "basket_value": 12.5}
    return Decision(
        decision_id=decision_id(i),
        visitor_id=visitor_id,
        journey="skincare",
        at=at,
        received_at=at,
        ask_id="ask_3",
        propensity=0.31,
        eligible=ASKS[:12],
        policy="champion:7",
        context=context,
        answers={"skin_type": "oily"},
        catalog_digest="0f" * 32,
        fingerprint="a1" * 32,
    )


def show(name: str, measured: tuple[float, ...] | tuple[float, list[float], float], bare: float) -> None:
    each, times = measured[0], sorted(measured[1])
    size = f"{measured[2]:8.0f}" if len(measured) > 2 else ""
    p = [times[int(len(times) * share)] * 1e6 for share in (0.5, 0.99, 0.999)]
    print(
        f"{name:34}{each * 1e6:10.1f}{each / bare:8.2f}{p[0]:9.0f}{p[1]:9.0f}{p[2]:10.0f}{times[-1] * 1e3:8.1f}{size}",
        flush=True,
    )


if __name__ == "__main__":
    main()
