"""A SQLite file that cannot be used: every call says so in plain words, in bounded time, and loses nothing."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import StoreUnavailable
from data.stores import sqlite_connections
from data.stores.protocol import Commit
from data.stores.sqlite import SqliteStore
from tests.contracts.store_samples import stored, visitor
from tests.contracts.store_workers import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as opened:
        yield opened


def write(store: SqliteStore, name: str = "v-1") -> list[bool]:
    return store.commit([Commit((visitor(name),), (stored(name, name),))])


@pytest.mark.parametrize("use", [write, SqliteStore.check, lambda store: store.erase("v-1", 1)])
def test_a_locked_store_is_unavailable_within_its_time(
    store: SqliteStore, path: Path, use: Callable[[SqliteStore], object]
) -> None:
    store.check()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"store\.db is locked.*200 ms"):
            use(store)
        assert 0.15 < time.monotonic() - started < 2.0
        assert store.visitors(["v-1"]) == {}
        other.execute("ROLLBACK")
    assert write(store) == [True]


def test_a_file_held_exclusively_cannot_even_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connections, "OPENING_S", 0.05)
    with closing(SqliteStore(path)) as store:
        store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked"):
            SqliteStore(path, busy_timeout_s=0.05)


def test_a_short_lock_is_waited_for(path: Path) -> None:
    holder = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    holder += (
        "c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\ntime.sleep(0.08)\nc.execute('COMMIT')\nc.close()"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(path)], text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with closing(SqliteStore(path, busy_timeout_s=10.0)) as store:
            assert process.stdout.readline() == "held\n"
            assert write(store) == [True]


def test_what_cannot_be_stored_stores_nothing_of_its_group(store: SqliteStore) -> None:
    too_late = Commit(decisions=(stored("d-2", at=2**70),))
    with pytest.raises(OverflowError):
        store.commit([Commit(decisions=(stored(),)), too_late])
    with pytest.raises(KeyError):
        store.commit([Commit(decisions=(replace(stored(), status="no such status"),))])  # type: ignore[arg-type]
    assert store.counts()["decisions"] == 0
    assert store.commit([Commit(decisions=(stored(),))]) == [True]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"folder .*nowhere does not exist"):
        SqliteStore(tmp_path / "nowhere" / "store.db")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is a folder"):
        SqliteStore(tmp_path)


def test_a_file_of_another_kind_is_left_alone(path: Path) -> None:
    path.write_bytes(b"visitor_id,at\n" * 500)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE experiments (id)")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match=r"newer version.*number 99"):
        SqliteStore(path)


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    with closing(SqliteStore(path)) as store:
        assert write(store) == [True]


def test_a_damaged_store_says_so_and_recovers_with_its_file(path: Path, tmp_path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([Commit(decisions=tuple(stored(f"d-{i}", audit=b"x" * 2_000) for i in range(200)))])
    backup = shutil.copy(path, tmp_path / "backup.db")
    content = bytearray(path.read_bytes())
    content[8_192:] = b"\xa5" * (len(content) - 8_192)
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="damaged"):
        SqliteStore(path).history("v-1")
    for left in tmp_path.glob("store.db-*"):
        left.unlink()
    shutil.copy(backup, path)
    with closing(SqliteStore(path)) as store:
        assert len(store.history("v-1").decisions) == 200


def test_tables_that_went_missing_are_reported(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE decisions")
    with pytest.raises(StoreUnavailable, match="no such table"):
        store.decisions(["d-1"])
    assert store.visitors(["v-1"]) == {}


@pytest.mark.parametrize("action", ["remove", "replace"])
def test_a_file_taken_away_under_the_store_is_noticed(store: SqliteStore, path: Path, action: str) -> None:
    path.unlink()
    if action == "replace":
        path.touch()
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        store.check()


def test_a_read_only_store_is_found_by_its_check() -> None:
    # Not in pytest's own folder: the process below may have to become a user who cannot enter that.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        SqliteStore(path).close()
        script = f"""
import os
from data.errors import StoreUnavailable
from data.stores.sqlite import SqliteStore
os.chmod({str(path)!r}, 0o444)
os.chmod({folder!r}, 0o755 if os.geteuid() == 0 else 0o555)
if os.geteuid() == 0:
    os.setuid(65534)
try:
    SqliteStore({str(path)!r}).check()
except StoreUnavailable as error:
    print(error)
"""
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True, check=True)
        Path(folder).chmod(0o755)
    assert "cannot be written" in done.stdout or "cannot be opened" in done.stdout
    assert str(path) in done.stdout


def test_a_full_disk_loses_nothing_that_was_written(path: Path) -> None:
    written, message = [], ""
    with closing(SqliteStore(path)) as store:
        store.check()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        # No file may grow beyond this: to SQLite, a disk without room.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            for i in range(1_000):
                store.commit([Commit(decisions=(stored(f"d-{i}", audit=os.urandom(4_000)),))])
                written.append(f"d-{i}")
        except StoreUnavailable as error:
            message = str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "disk" in message
        assert "nothing was written" in message
        assert 10 < len(written) < 1_000
        assert store.decisions(written).keys() == set(written)
        assert store.counts()["decisions"] == len(written)
        assert write(store) == [True]
