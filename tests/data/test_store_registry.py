from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from data.errors import BadInput
from data.stores.memory import MemoryStore
from data.stores.protocol import Commit
from data.stores.registry import STORES, open_store
from data.stores.sqlite import SqliteStore
from tests.contracts.store_samples import visitor
from tests.contracts.store_workers import ROOT


def test_a_url_names_a_store(tmp_path: Path) -> None:
    assert isinstance(open_store("memory:"), MemoryStore)
    with closing(open_store(f"sqlite:///{tmp_path}/a.db")) as store:
        assert isinstance(store, SqliteStore)
    assert (tmp_path / "a.db").exists()


def test_a_relative_path_starts_where_the_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_store("sqlite:///a.db")) as store:
        monkeypatch.chdir("/")
        store.commit([Commit(visitors=(visitor(),))])
    assert (tmp_path / "a.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite",
        "sqlite:",
        "sqlite:a.db",
        "sqlite:/a.db",
        "sqlite://a.db",
        "sqlite:///",
        "sqlite:///folder/",
        "sqlite:///:memory:",
        "sqlite:///a\0b",
        "memory:x",
        "memory://",
        "postgresql://localhost/x",
        "SQLITE:///a.db",
        "/var/a.db",
    ],
)
def test_a_malformed_url_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(BadInput, match=r"allowed: sqlite:///relative/path\.db"):
        open_store(url)


def test_an_unknown_sync_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'paranoid'; allowed: 'normal', 'full'"):
        open_store("memory:", sync="paranoid")  # type: ignore[arg-type]


def test_only_a_store_that_waits_for_the_disk_is_slow(tmp_path: Path) -> None:
    quick = {}
    for sync in ("normal", "full"):
        with closing(open_store(f"sqlite:///{tmp_path}/a.db", sync=sync)) as store:  # type: ignore[arg-type]
            quick[sync] = store.is_quick
    assert quick == {"normal": True, "full": False}


def test_every_scheme_has_a_factory() -> None:
    assert sorted(STORES) == ["memory", "sqlite"]


def test_stores_import_nothing_heavy() -> None:
    script = "import data.stores.registry, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True, check=True)
    assert not {"numpy", "polars", "pandas", "pydantic", "mlflow"} & set(eval(done.stdout))
