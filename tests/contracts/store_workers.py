"""Processes of their own for tests of stores: ``python -m tests.contracts.store_workers WORK URL [NUMBER]``."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

from data.stores.protocol import Commit, Store
from data.stores.registry import open_store
from tests.contracts.store_samples import event, stored, visitor

ROOT = Path(__file__).parents[2]


def start(work: str, url: str, number: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, work, url, str(number)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def increment(store: Store, number: int) -> None:
    """Raises the version of one visitor, again and again until each time it works."""
    for _ in range(number):
        while True:
            row = store.visitors(["v-1"]).get("v-1")
            version = 0 if row is None else row.version
            count = 1 if row is None else int(row.state) + 1
            if store.commit([Commit(visitors=(visitor(expected=version, state=b"%d" % count),))]) == [True]:
                break


def write_until_killed(store: Store, number: int) -> None:
    """Writes commits of four rows, in growing groups; tells each once it is durable."""
    for i in itertools.count():
        names = [f"{number}-{i}-{k}" for k in range(1 + i % 5)]
        store.commit([parts_of(name) for name in names])
        print("\n".join(names), flush=True)


def parts_of(name: str) -> Commit:
    decisions = tuple(stored(f"{name}-{k}", name, audit=b"a" * 3_000) for k in range(2))
    return Commit((visitor(name, state=b"s" * 2_000),), decisions, (event(name, name),))


def open_and_write(number: int) -> None:
    """Opens the store of each URL it is told, and writes a visitor of its own to it."""
    for url in sys.stdin:
        store = open_store(url.strip(), busy_timeout_s=10.0)
        print(store.commit([Commit(visitors=(visitor(f"v-{number}"),))]), flush=True)
        store.close()


if __name__ == "__main__":
    name, url, number = sys.argv[1:]
    print("ready", flush=True)
    if name == "open_and_write":
        open_and_write(int(number))
        sys.exit()
    opened = open_store(url, busy_timeout_s=10.0)
    {"increment": increment, "write_until_killed": write_until_killed}[name](opened, int(number))
    opened.close()
