"""Workspaces: found from anywhere inside, paths that do not depend on where one is, one secret for all."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from data.errors import BadInput
from data.workspace import Workspace, find_workspace, open_workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that is a workspace already."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "smallyes.toml").touch()
    return root


def opened(root: Path, url: str | None = None) -> Workspace:
    return open_workspace(root, {}, {"store.url": url})


# where it is


def test_the_nearest_folder_above_with_settings_is_the_workspace(root: Path) -> None:
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert find_workspace(below, {}, {}).root == root
    (root / "a" / "smallyes.toml").touch()
    assert find_workspace(below, {}, {}).root == root / "a"


def test_a_named_folder_wins_and_is_not_searched_above(root: Path, tmp_path: Path) -> None:
    assert find_workspace(tmp_path, {}, {}, explicit=root).root == root
    inner = root / "inner"
    inner.mkdir()
    with pytest.raises(BadInput, match=r"is no workspace .* make one with: smallyes init"):
        find_workspace(root, {}, {}, explicit=inner)


def test_without_a_workspace_one_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="make a workspace with: smallyes init shop"):
        find_workspace(tmp_path, {}, {})


def test_a_folder_called_like_the_settings_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "smallyes.toml").mkdir()
    with pytest.raises(BadInput, match="make a workspace"):
        find_workspace(tmp_path, {}, {})


def test_folders_of_a_workspace_are_absolute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    workspace = opened(Path("shop"))
    assert workspace.journeys == root / "journeys"
    assert workspace.var == root / "var"
    assert workspace.policies == root / "var" / "policies"


# the store


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "sqlite:///{root}/var/smallyes.db"),
        ("sqlite:///other.db", "sqlite:///{root}/other.db"),
        ("sqlite:///../shared.db", "sqlite:///{parent}/shared.db"),
        ("sqlite:////srv/shop.db", "sqlite:////srv/shop.db"),
        ("memory:", "memory:"),
        ("sqlite:///", "sqlite:///"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://var/x.db", "sqlite://var/x.db"),
        ("postgres://x", "postgres://x"),
    ],
)
def test_relative_stores_start_at_the_workspace(root: Path, url: str | None, expected: str) -> None:
    assert opened(root, url).store_url == expected.format(root=root, parent=root.parent)


# the secret


def test_a_secret_is_made_once_and_kept(root: Path) -> None:
    secret = opened(root).secret()
    assert len(secret) == 64
    assert opened(root).secret() == secret
    assert stat.S_IMODE((root / "var" / "secret").stat().st_mode) == 0o600
    assert [file.name for file in (root / "var").iterdir()] == ["secret"]


def test_two_workspaces_have_two_secrets(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "smallyes.toml").touch()
    assert opened(root).secret() != opened(other).secret()


def test_a_secret_of_the_settings_wins_and_makes_no_file(root: Path) -> None:
    workspace = open_workspace(root, {"SMALLYES_SECRET": "from outside"}, {})
    assert workspace.secret() == b"from outside"
    assert not (root / "var").exists()


def test_workers_that_start_together_get_the_same_secret(root: Path) -> None:
    barrier = threading.Barrier(8)
    found: list[bytes] = []

    def start() -> None:
        barrier.wait()
        found.append(opened(root).secret())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_an_empty_secret_is_not_used(root: Path) -> None:
    (root / "var").mkdir()
    (root / "var" / "secret").write_text("\n")
    with pytest.raises(BadInput, match="is empty; restore it, or delete the file"):
        opened(root).secret()


def test_a_secret_that_cannot_be_made_is_told(root: Path) -> None:
    (root / "var").write_text("a file where the folder belongs")
    with pytest.raises(BadInput, match="the workspace's secret cannot be read or made"):
        opened(root).secret()
