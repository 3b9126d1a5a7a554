"""What stores that several processes share must do, shown with real processes. A new one is one more URL."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import pytest

from data.stores.protocol import StoredVisitor
from data.stores.registry import open_store
from tests.contracts.store_workers import parts_of, start


@pytest.fixture(params=["sqlite:///{folder}/store.db"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(folder=tmp_path)


def test_two_writers_lose_no_increment(url: str) -> None:
    workers = [start("increment", url, 1_000) for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    store = open_store(url)
    assert store.visitors(["v-1"]) == {"v-1": StoredVisitor("v-1", 2_000, b"2000")}
    store.close()


def test_processes_may_open_a_new_store_at_once(url: str) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(start("open_and_write", url, number)) for number in range(4)]
        tell(workers, "")
        for number in range(12):
            assert tell(workers, f"{url}-{number}") == ["[True]\n"] * 4
        for worker in workers:
            worker.communicate()
    for number in range(12):
        store = open_store(f"{url}-{number}")
        assert store.counts()["visitors"] == 4
        store.close()


def tell(workers: list[Popen[str]], line: str) -> list[str]:
    """Tells all workers the same, as nearly at once as can be; what each answers."""
    for worker in workers:
        if line:
            print(line, file=worker.stdin, flush=True)
    return [worker.stdout.readline() for worker in workers if worker.stdout is not None]


def test_a_killed_writer_leaves_all_it_reported_and_nothing_half(url: str) -> None:
    told: set[str] = set()
    for number in range(6):
        worker = start("write_until_killed", url, number)
        assert worker.stdout is not None
        for _ in range(20 + 37 * number):
            told.add(worker.stdout.readline().strip())
        time.sleep(0.001 * number)
        worker.kill()
        told.update(worker.stdout.read().split("\n"))
        worker.communicate()
    told -= {"ready", ""}
    store = open_store(url)
    rows = [row for batch in store.log("skincare") for row in batch]
    written = {row.visitor_id for row in rows}
    assert told <= written
    assert store.visitors(sorted(written)).keys() == written
    for name in written:
        history, parts = store.history(name), parts_of(name)
        assert history.decisions == parts.decisions
        assert history.events == (parts.events[0].event,)
    assert store.counts()["visitors"] == len(written)
    store.close()
