"""What was erased leaves the files, not just the tables."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from data.stores import sqlite
from data.stores.protocol import Commit
from data.stores.sqlite import SqliteStore
from tests.contracts.store_samples import T0, event, stored, visitor


def bytes_of(path: Path) -> bytes:
    # Read only after the store was closed: closing any handle of the file would drop this process's locks.
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))


def fill(store: SqliteStore, names: list[str]) -> None:
    """Random rows in random order, with updates that move rows between pages."""
    rnd = random.Random(7)
    versions = dict.fromkeys(names, 0)
    for _ in range(len(names) * 8):
        name = rnd.choice(names)
        state = (name * 3).encode() + rnd.randbytes(rnd.choice((50, 500, 2_500)))
        write = visitor(name, expected=versions[name], state=state)
        made = stored(f"{rnd.random()}", name, audit=name.encode() + rnd.randbytes(rnd.choice((10, 600, 5_000))))
        told = event(f"{rnd.random()}", name, answers={"email": f"{name}@example.org"})
        assert store.commit([Commit((write,), (made,), (told,))]) == [True]
        versions[name] += 1


def test_no_byte_of_an_erased_visitor_is_left(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    names = [f"visitor{i:05}x" for i in range(150)]
    with closing(SqliteStore(path)) as store:
        fill(store, names)
        store.commit([Commit(events=(event("m", names[1], type="merged", from_id=names[0]),))])
        for name in names[::10]:
            store.erase(name, T0)
        assert store.counts()["visitors"] == 135
    content = bytes_of(path)
    assert not [name for name in names[::10] if name.encode() in content]
    assert all(name.encode() in content for name in names[1::10])


def test_deleted_rows_are_overwritten_even_where_the_file_is_not_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "COMPACT_BYTES", 0)
    path = tmp_path / "store.db"
    with closing(SqliteStore(path)) as store:
        for name in ("visitor-one", "visitor-two"):
            row = visitor(name, state=name.encode())
            store.commit([Commit((row,), (stored(name, name, audit=name.encode() * 900),), (event(name, name),))])
        store.erase("visitor-one", T0)
    content = bytes_of(path)
    assert b"visitor-one" not in content
    assert b"visitor-two" in content


def test_compaction_removes_what_moving_rows_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "COMPACT_BYTES", 0)
    path = tmp_path / "store.db"
    names = [f"visitor{i:05}x" for i in range(200)]
    with closing(SqliteStore(path)) as store:
        fill(store, names)
        for name in names[::2]:
            store.erase(name, T0)
        store.compact()
        assert store.counts()["visitors"] == 100
    content = bytes_of(path)
    assert not [name for name in names[::2] if name.encode() in content]


def test_an_erasure_beside_a_reader_is_finished_by_the_next_check(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    wal = path.with_name("store.db-wal")
    with closing(SqliteStore(path)) as store:
        store.commit([Commit((visitor(),), (stored(),))])
        log = store.log("skincare")
        next(log)
        assert store.erase("v-1", T0) == 2
        assert wal.stat().st_size > 0
        del log
        store.check()
        assert wal.stat().st_size == 0


def test_tombstones_hold_no_id(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(SqliteStore(path)) as store:
        store.erase("a-visitor-nobody-knew", T0)
        assert store.erased_at(["a-visitor-nobody-knew"])
    assert b"a-visitor" not in bytes_of(path)


def test_two_stores_bury_the_same_visitor_differently(tmp_path: Path) -> None:
    salts = set()
    for name in ("a.db", "b.db"):
        with closing(SqliteStore(tmp_path / name)) as store:
            salts.add(store._salt)
    assert len(salts) == 2
