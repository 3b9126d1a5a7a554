"""``smallyes init`` makes what the contract says, and never takes anything away."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from data.catalog import load_folder
from data.settings import Settings, setting_names
from data.stores.registry import open_store
from data.workspace import open_workspace
from tests.conftest import Answer

Smallyes = Callable[..., Answer]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "shop"


def test_a_workspace_has_settings_a_journey_and_a_store(root: Path, smallyes: Smallyes) -> None:
    assert smallyes("init", root).code == 0
    workspace = open_workspace(root, {}, {})
    assert workspace.settings == Settings()
    assert len(load_folder(workspace.journeys)) == 1
    assert (workspace.var / "smallyes.db").is_file()
    assert open_store(workspace.store_url).counts() == {"visitors": 0, "decisions": 0, "events": 0}


def test_its_journey_has_no_fault(root: Path, smallyes: Smallyes) -> None:
    smallyes("init", root)
    assert smallyes("validate", "--workspace", root).code == 0


def test_it_says_what_to_do_next(root: Path, smallyes: Smallyes) -> None:
    text = smallyes("init", root).out
    assert f"cd {root} && smallyes serve" in text
    assert "curl -s localhost:3000/v1/next-ask" in text
    assert str(root / "journeys" / "skincare.yaml") in text


def test_json_says_where(root: Path, smallyes: Smallyes) -> None:
    answer = smallyes("init", root, "--json").json
    assert answer == {"workspace": str(root), "journeys": [str(root / "journeys" / "skincare.yaml")]}


def test_every_setting_stands_in_the_file_at_its_default(root: Path, smallyes: Smallyes) -> None:
    smallyes("init", root)
    text = (root / "smallyes.toml").read_text()
    assert tomllib.loads(text) == {"store": {}, "serve": {}, "mlflow": {}, "privacy": {}}
    lines = [line.removeprefix("# ") if " = " in line else line for line in text.splitlines()]
    written = tomllib.loads("\n".join(lines))
    for name, default, _ in setting_names():
        section, _, last = name.rpartition(".")
        found = (written[section] if section else written)[last]
        assert (tuple(found) if isinstance(found, list) else found) == default


def test_the_secret_is_for_its_owner_alone(root: Path, smallyes: Smallyes) -> None:
    smallyes("init", root)
    assert stat.S_IMODE((root / "var" / "secret").stat().st_mode) == 0o600


def test_state_and_secret_are_kept_out_of_version_control(root: Path, smallyes: Smallyes) -> None:
    root.mkdir()
    (root / ".gitignore").write_text("*.log")
    smallyes("init", root)
    assert (root / ".gitignore").read_text() == "*.log\nvar/\n"


def test_a_workspace_is_not_made_twice(root: Path, smallyes: Smallyes) -> None:
    smallyes("init", root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    answer = smallyes("init", root)
    assert answer.code == 2
    assert "is a workspace already" in answer.err
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_journeys_that_are_there_already_stay_alone(root: Path, smallyes: Smallyes) -> None:
    own = root / "journeys" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert smallyes("init", root, "--json").json["journeys"] == []
    assert [path.name for path in own.parent.iterdir()] == ["mine.yaml"]
    assert own.read_text() == "mine"


def test_the_catalog_of_a_simulated_site_can_be_the_first_journey(root: Path, smallyes: Smallyes) -> None:
    assert smallyes("init", root, "--world", "no_effects").code == 0
    assert list(load_folder(root / "journeys")) == ["no_effects"]


def test_an_unknown_world_makes_nothing(root: Path, smallyes: Smallyes) -> None:
    answer = smallyes("init", root, "--world", "mars")
    assert answer.code == 2
    assert "allowed: skincare, no_effects" in answer.err
    assert not root.exists()


def test_a_file_cannot_become_a_workspace(root: Path, smallyes: Smallyes) -> None:
    root.write_text("a file")
    answer = smallyes("init", root)
    assert answer.code == 2
    assert "is a file" in answer.err


def test_an_attempt_that_failed_halfway_can_be_repeated(
    root: Path, smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLYES_STORE_URL", "sqlite:///missing/folder/x.db")
    assert smallyes("init", root).code == 3
    monkeypatch.delenv("SMALLYES_STORE_URL")
    assert smallyes("init", root).code == 0
    assert len(load_folder(root / "journeys")) == 1


def test_folders_above_are_made(tmp_path: Path, smallyes: Smallyes) -> None:
    assert smallyes("init", tmp_path / "a" / "b c" / "shop").code == 0
    assert "'" in smallyes("init", tmp_path / "a" / "b c" / "other").out  # a name with a space is quoted


def test_a_secret_from_the_environment_is_no_hindrance(smallyes, tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLYES_SECRET", "from-outside")
    assert smallyes("init", tmp_path / "shop").code == 0
    assert not (tmp_path / "shop" / "var" / "secret").exists()
