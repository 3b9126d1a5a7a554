"""Threads, forks and long readers around one SQLite file."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from data.stores import sqlite_connections
from data.stores.protocol import Commit
from data.stores.sqlite import SqliteStore
from tests.contracts.store_samples import stored, visitor
from tests.contracts.store_workers import ROOT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "store.db", busy_timeout_s=10.0)) as opened:
        yield opened


def open_files() -> int:
    links = (entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return sum("store.db" in str(link.readlink()) for link in links)


def test_threads_share_a_store(store: SqliteStore) -> None:
    def increment(_: int) -> None:
        while True:
            row = store.visitors(["v-1"]).get("v-1")
            if store.commit([Commit(visitors=(visitor(expected=0 if row is None else row.version),))]) == [True]:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(400)))
    assert store.visitors(["v-1"])["v-1"].version == 400


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_the_connections_of_ended_threads_are_closed(store: SqliteStore) -> None:
    counts = []
    for _ in range(20):
        thread = threading.Thread(target=store.check)
        thread.start()
        thread.join()
        gc.collect()
        counts.append(open_files())
    # SQLite keeps the file of a closed connection for the next one, as closing it would drop this process's locks.
    assert counts[1] == counts[-1]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_closing_closes_every_threads_connection(store: SqliteStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        barrier = threading.Barrier(4)
        list(pool.map(lambda _: (store.check(), barrier.wait()), range(4)))
        store.close()
        assert open_files() == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_log_closes_its_connection_when_it_ends_or_is_dropped(store: SqliteStore) -> None:
    store.commit([Commit(decisions=(stored(),))])
    list(store.log("skincare"))
    before = open_files()
    log = store.log("skincare")
    next(log)
    assert open_files() > before
    del log
    assert open_files() == before


def test_checkpoints_keep_the_write_ahead_log_short(store: SqliteStore, tmp_path: Path) -> None:
    for i in range(100):
        store.commit([Commit(decisions=tuple(stored(f"d-{i}-{k}", audit=b"x" * 4_000) for k in range(100)))])
    wal, database = tmp_path / "store.db-wal", tmp_path / "store.db"
    assert database.stat().st_size > 20 << 20
    assert wal.stat().st_size <= 65 << 20
    store.close()
    assert not wal.exists()


def test_checkpoints_are_made_beside_the_writer(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connections, "CHECKPOINT_ROWS", 10)
    done = threading.Event()
    move = sqlite_connections._Checkpoints._move

    def moved(self: sqlite_connections._Checkpoints) -> None:
        move(self)
        assert threading.current_thread() is not threading.main_thread()
        done.set()

    monkeypatch.setattr(sqlite_connections._Checkpoints, "_move", moved)
    store.commit([Commit(decisions=tuple(stored(f"d-{i}") for i in range(10)))])
    assert done.wait(10)


def test_a_log_survives_checkpoints_and_holds_nobody_up(store: SqliteStore) -> None:
    store.commit([Commit(decisions=tuple(stored(f"old-{i}") for i in range(10_500)))])
    log = store.log("skincare")
    seen = {row.decision_id for row in next(log)}  # type: ignore[union-attr]
    for i in range(30):
        store.commit([Commit(decisions=tuple(stored(f"new-{i}-{k}", audit=b"x" * 500) for k in range(100)))])
    store.compact()
    seen |= {row.decision_id for batch in log for row in batch}  # type: ignore[union-attr]
    assert seen == {f"old-{i}" for i in range(10_500)}
    assert store.counts()["decisions"] == 13_500


FORKS = """
import os, sys, threading
from data.stores.protocol import Commit
from data.stores.sqlite import SqliteStore
from tests.contracts.store_samples import visitor

store = SqliteStore(sys.argv[1], busy_timeout_s=10.0)
store.commit([Commit(visitors=(visitor("before"),))])
stop = threading.Event()
def busy():
    n = 0
    while not stop.is_set():
        store.commit([Commit(visitors=(visitor(f"thread-{n}"),))])
        n += 1
    print("thread", n)
thread = threading.Thread(target=busy)
thread.start()
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        for n in range(200):
            if store.commit([Commit(visitors=(visitor(f"child-{child}-{n}"),))]) != [True]:
                os._exit(3)
        if store.visitors(["before"]).keys() != {"before"}:
            os._exit(4)
        store.close()
        os._exit(0)
    children.append(pid)
    store.commit([Commit(visitors=(visitor(f"parent-{child}"),))])
for pid in children:
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit(1)
stop.set()
thread.join()
store.close()
"""


def test_a_process_may_fork_with_a_store_open(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(path)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    n_thread = int(done.stdout.split()[1])
    with closing(SqliteStore(path)) as store:
        assert store.counts()["visitors"] == 1 + n_thread + 4 * 200 + 4
