"""When disk or store are in trouble: exit code 3, a sentence that says what to do, and nothing lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from data.log import read_log
from data.stores.registry import open_store
from data.workspace import Workspace
from tests.conftest import Answer, command_line

Smallyes = Callable[..., Answer]
MIB = 1 << 20


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated log of the journey that a workspace starts with."""
    path = tmp_path_factory.mktemp("logs") / "log.parquet"
    subprocess.run(command_line("simulate", "--visitors", 120, "--out", path), check=True, stdout=subprocess.DEVNULL)
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "none", disk], capture_output=True, check=False
    )
    if not done or done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip() if done else 'no mount'}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path, *, spare: int = 0) -> Path:
    """Leaves so many bytes on a disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
        file.truncate(file.tell() - spare)
    return ballast


def told(answer: Answer, *parts: str) -> None:
    """Exit code 3 and one paragraph that says all of this."""
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("smallyes: ")
    assert "\n\n" not in answer.err
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in answer.err


# the store


def test_a_store_that_another_process_holds_is_told(
    workspace: Workspace, smallyes: Smallyes, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.cli.context.STORE_WAIT_S", 0.2)
    with closing(sqlite3.connect(workspace.var / "smallyes.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for command in (("keys", "add", "--role", "read"), ("import", "--log", log)):
            told(smallyes(*command), "smallyes.db is locked", "Try again", "fuser")
        other.execute("ROLLBACK")
    assert smallyes("import", "--log", log).code == 0


def test_a_command_waits_for_a_store_longer_than_a_service_does(workspace: Workspace, smallyes: Smallyes) -> None:
    code = (
        "import sqlite3, sys, time\n"
        "other = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "other.execute('BEGIN EXCLUSIVE')\nprint(flush=True)\ntime.sleep(1)\nother.execute('ROLLBACK')\n"
    )
    arguments = [sys.executable, "-c", code, str(workspace.var / "smallyes.db")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert smallyes("keys", "add", "--role", "read").code == 0


@pytest.mark.parametrize("command", ["keys list", "export --out log.csv", "serve --host 0.0.0.0"])
def test_a_file_that_is_no_store_is_told(workspace: Workspace, smallyes: Smallyes, command: str) -> None:
    (workspace.var / "smallyes.db").write_bytes(b"this is no database at all" * 400)
    told(smallyes(*command.split()), "is damaged or no SQLite database", "Put back a backup")


def test_a_damaged_store_gives_no_log_instead_of_half_a_log(
    workspace: Workspace, smallyes: Smallyes, log: Path
) -> None:
    smallyes("import", "--log", log)
    file = workspace.var / "smallyes.db"
    with closing(sqlite3.connect(file)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    for page in range(8, len(content) // 4_096):
        content[page * 4_096 : page * 4_096 + 200] = bytes(200)
    file.write_bytes(content)
    told(smallyes("export", "--out", "log.csv"), "smallyes.db")
    assert not Path("log.csv").exists()


def test_a_store_in_a_folder_that_does_not_exist_is_told(
    workspace: Workspace, smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLYES_STORE_URL", "sqlite:///missing/store.db")
    told(smallyes("keys", "list"), "missing does not exist", "correct the store URL")


@pytest.mark.parametrize("url", ["postgres://db", "sqlite://var/x.db", "sqlite:///", "sqlite:///:memory:", ""])
def test_a_store_url_that_means_nothing_is_wrong_use(
    workspace: Workspace, smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SMALLYES_STORE_URL", url)
    answer = smallyes("keys", "list")
    assert answer.code == 2
    assert "allowed: sqlite:///relative/path.db, sqlite:////absolute/path.db, memory:" in answer.err


# the disk


def test_a_full_disk_loses_nothing_and_can_be_gone_on_from(small_disk: Path, smallyes: Smallyes, log: Path) -> None:
    shop = ("--workspace", small_disk / "shop")
    smallyes("init", small_disk / "shop")
    ballast = fill(small_disk, spare=300_000)
    told(smallyes("import", "--log", log, *shop), "is full", "Free space in")
    ballast.unlink()
    assert smallyes("import", "--log", log, *shop).code == 0
    store = open_store(f"sqlite:///{small_disk / 'shop' / 'var' / 'smallyes.db'}")
    n_rows = sum(n for name, n in store.counts().items() if name != "visitors")
    store.close()
    assert n_rows == len(read_log(log).frame)


def test_not_a_byte_left_is_told(small_disk: Path, smallyes: Smallyes, log: Path) -> None:
    smallyes("init", small_disk / "shop")
    fill(small_disk)
    told(smallyes("import", "--log", log, "--workspace", small_disk / "shop"), "the disk of", "nothing was written")


def test_a_full_disk_leaves_no_half_log(workspace: Workspace, small_disk: Path, smallyes: Smallyes, log: Path) -> None:
    smallyes("import", "--log", log)
    out = small_disk / "log.csv"
    out.write_text("the log of yesterday")
    ballast = fill(small_disk)
    for ending in ("csv", "parquet", "ndjson"):
        told(smallyes("export", "--out", out.with_suffix(f".{ending}")), f"log.{ending}", "cannot be written")
    assert out.read_text() == "the log of yesterday"
    assert sorted(small_disk.iterdir()) == [ballast, out]


def test_a_workspace_is_not_made_on_a_full_disk(small_disk: Path, smallyes: Smallyes) -> None:
    ballast = fill(small_disk)
    told(smallyes("init", small_disk / "shop"))
    ballast.unlink()
    assert smallyes("init", small_disk / "shop").code == 0


def test_a_file_that_may_not_grow_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *command_line("simulate", "--visitors", 40, "--out", "log.csv")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told(Answer(done.returncode, done.stdout, done.stderr), "log.csv: cannot be written", "File too large")
    assert not list(tmp_path.iterdir())


def test_a_read_only_disk_is_told(small_disk: Path, smallyes: Smallyes, log: Path) -> None:
    shop = ("--workspace", small_disk / "shop")
    smallyes("init", small_disk / "shop")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    told(
        smallyes("keys", "add", "--role", "read", *shop), "smallyes.db cannot be opened", "the right to read and write"
    )
    told(smallyes("export", "--out", small_disk / "log.csv", *shop), "smallyes.db cannot be opened")
    told(smallyes("init", small_disk / "other"), "Read-only file system")
    told(smallyes("simulate", "--visitors", 3, "--out", small_disk / "log.csv"), "log.csv", "Read-only")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(workspace: Workspace, smallyes: Smallyes) -> None:
    locked = workspace.root / "locked"
    locked.mkdir(mode=0o500)
    told(smallyes("simulate", "--visitors", 3, "--out", locked / "log.csv"), "log.csv", "Permission denied")
    told(smallyes("init", locked / "shop"), "Permission denied")
