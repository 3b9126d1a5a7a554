"""How long the SQLite store takes to remember a decision, beside a bare INSERT loop in the same run.

    python benchmarks/store.py [--decisions 20000] [--visitors 5000] [--folder DIR]

One decision here is what the service does for one: read the visitor, then commit the decision together with the
visitor's new state. Percentiles are of calls, a whole group each. Ratios carry over to another machine; microseconds
do not, and on a busy machine only the CPU's.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.domain import Decision, Event
from data.stores.protocol import Commit, StatusWrite, StoredDecision, StoredEvent, VisitorWrite
from data.stores.sqlite import SqliteStore
from data.stores.sqlite_connections import Sync

ASKS = tuple(f"ask_{n}" for n in range(20))
STATE_BYTES = 700
AUDIT_BYTES = 600
SETTINGS: tuple[tuple[Sync, int, int], ...] = (
    ("normal", 1, 1),
    ("normal", 8, 1),
    ("normal", 32, 1),
    ("full", 1, 20),
    ("full", 8, 10),
    ("full", 32, 10),
)
"""Sync, commits in a group, and by what the number of decisions is divided."""


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
    heads = ("us each", "ratio", "CPU us", "ratio", "p50 us", "p99 us", "max ms", "B each")
    print(" " * 36 + "".join(f"{head:>{width}}" for head, width in zip(heads, (9, 7, 8, 7, 8, 8, 8, 8), strict=True)))
    show("bare INSERT, a transaction each", bare, bare, (folder / "bare.db").stat().st_size / n)
    for sync, group, share in SETTINGS:
        path = folder / f"{sync}-{group}.db"
        store = SqliteStore(path, sync=sync)
        timing = decide(store, n // share, group, visitor_ids)
        store.close()
        show(f"read + commit, groups of {group}, {sync}", timing, bare, path.stat().st_size / (n // share))
    store = SqliteStore(folder / "normal-1.db")
    show("answer: event + status + state", answer(store, n), bare)
    one, hundred = read_visitors(store, visitor_ids)
    print(f"read 1 visitor {one:.1f} us, 100 visitors {hundred:.0f} us; log {read_log(store):,.0f} rows/s")
    store.close()


class Timing:
    """Wall-clock and CPU seconds of ``n`` rows, and the wall-clock seconds of every call."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.cpu = 0.0
        self.n = 0

    @contextmanager
    def call(self, n: int = 1) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.calls.append(time.perf_counter() - wall)
        self.cpu += time.process_time() - cpu
        self.n += n

    @property
    def us_each(self) -> tuple[float, float]:
        return sum(self.calls) / self.n * 1e6, self.cpu / self.n * 1e6


def bare_inserts(path: Path, n: int, rnd: random.Random) -> Timing:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, record BLOB)")
    record = rnd.randbytes(AUDIT_BYTES)
    timing = Timing()
    for i in range(n):
        with timing.call():
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO rows VALUES (?, ?)", (f"{i:032x}", record))
            connection.execute("COMMIT")
    connection.close()
    return timing


def decide(store: SqliteStore, n: int, group: int, visitor_ids: list[str]) -> Timing:
    rnd = random.Random(2)
    audit, timing = rnd.randbytes(AUDIT_BYTES), Timing()
    while timing.n < n:
        decisions = [decision(timing.n + i, visitor_id) for i, visitor_id in enumerate(rnd.sample(visitor_ids, group))]
        state = rnd.randbytes(rnd.randrange(STATE_BYTES // 2, STATE_BYTES * 3 // 2))
        with timing.call(group):
            commits = []
            for one in decisions:
                row = store.visitors((one.visitor_id,)).get(one.visitor_id)
                version = 0 if row is None else row.version
                write = VisitorWrite(one.visitor_id, version, version + 1, state)
                stored = StoredDecision(one, request_digest=b"d" * 16, audit=audit)
                commits.append(Commit(visitors=(write,), decisions=(stored,)))
            done = store.commit(commits)
        if not all(done):
            raise SystemExit("a commit was refused")
    return timing


def answer(store: SqliteStore, n: int) -> Timing:
    timing = Timing()
    for i in range(n):
        with timing.call():
            made = store.decisions((decision_id(i),))[decision_id(i)].decision
            row = store.visitors((made.visitor_id,))[made.visitor_id]
            at = made.at + 5_000_000
            event = Event(made.visitor_id, "accepted", at, at, "skincare", "ask_3", f"e-{i}", made.decision_id)
            commit = Commit(
                visitors=(VisitorWrite(made.visitor_id, row.version, row.version + 1, row.state),),
                events=(StoredEvent(f"e-{i}", event),),
                statuses=(StatusWrite(made.decision_id, "accepted", at),),
            )
            done = store.commit((commit,))
        if not all(done):
            raise SystemExit("an answer was refused")
    return timing


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


def show(name: str, timing: Timing, bare: Timing, size: float | None = None) -> None:
    calls = sorted(timing.calls)
    wall, cpu = timing.us_each
    p50, p99 = (calls[int(len(calls) * share)] * 1e6 for share in (0.5, 0.99))
    ratios = wall / bare.us_each[0], cpu / bare.us_each[1]
    print(
        f"{name:36}{wall:9.1f}{ratios[0]:7.2f}{cpu:8.1f}{ratios[1]:7.2f}{p50:8.0f}{p99:8.0f}{calls[-1] * 1e3:8.1f}"
        + ("" if size is None else f"{size:8.0f}"),
        flush=True,
    )


if __name__ == "__main__":
    main()
