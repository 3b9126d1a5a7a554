"""Which workspace, which journey, which settings a command uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data.catalog import dump_catalog, load_folder
from data.domain import Catalog
from data.workspace import Workspace
from tests.conftest import Answer

Smallyes = Callable[..., Answer]


def add_journey(workspace: Workspace, name: str) -> None:
    """A second journey beside the one to start from."""
    (catalog,) = load_folder(workspace.journeys).values()
    text = dump_catalog(catalog).replace(f"journey: {catalog.journey}", f"journey: {name}")
    (workspace.journeys / f"{name}.yaml").write_text(text)


def written_to(smallyes: Smallyes, *options: object) -> Catalog | str:
    """The journey an export is of, or what is wrong."""
    answer = smallyes("export", "--out", "log.csv", "--json", *options)
    return answer.json["journey"] if answer.code == 0 else answer.err


def test_the_workspace_is_found_from_a_folder_below(
    workspace: Workspace, smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = workspace.root / "reports" / "march"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert written_to(smallyes) == "skincare"
    assert (below / "log.csv").is_file()  # paths given are relative to where one is


def test_the_nearest_workspace_counts(
    workspace: Workspace, smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = workspace.root / "inner"
    smallyes("init", inner, "--world", "no_effects")
    monkeypatch.chdir(inner)
    assert written_to(smallyes) == "no_effects"


def test_a_workspace_can_be_named(
    workspace: Workspace, smallyes: Smallyes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert written_to(smallyes, "--workspace", "shop") == "skincare"


def test_a_named_folder_must_be_one(smallyes: Smallyes, tmp_path: Path) -> None:
    answer = smallyes("export", "--out", "log.csv", "--workspace", tmp_path)
    assert answer.code == 2
    assert answer.err == (
        f"smallyes: {tmp_path}: is no workspace (it has no smallyes.toml); make one with: smallyes init {tmp_path}\n"
    )


def test_the_environment_beats_the_file(
    workspace: Workspace, smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / "smallyes.toml").write_text('[store]\nurl = "sqlite:///var/first.db"\n')
    smallyes("keys", "add", "--role", "read")
    monkeypatch.setenv("SMALLYES_STORE_URL", "sqlite:///var/second.db")
    assert smallyes("keys", "list", "--json").json == {"keys": []}
    assert (workspace.var / "first.db").exists()
    assert (workspace.var / "second.db").exists()


def test_a_wrong_setting_names_where_it_came_from(
    workspace: Workspace, smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLYES_STORE_SYNC", "sometimes")
    answer = smallyes("keys", "list")
    assert answer.code == 2
    assert answer.err == "smallyes: SMALLYES_STORE_SYNC: should be 'normal' or 'full'; received 'sometimes'\n"


def test_a_settings_file_that_is_no_toml_says_where(workspace: Workspace, smallyes: Smallyes) -> None:
    (workspace.root / "smallyes.toml").write_text("[store\n")
    answer = smallyes("keys", "list")
    assert answer.code == 2
    assert "smallyes.toml: is not TOML" in answer.err
    assert "line 1" in answer.err


@pytest.mark.parametrize(
    "command", [("funnel", "--log", "x.csv"), ("import", "--log", "x.csv"), ("export", "--out", "x.csv")]
)
def test_of_several_journeys_one_must_be_named(
    workspace: Workspace, smallyes: Smallyes, command: tuple[str, ...]
) -> None:
    add_journey(workspace, "winter")
    answer = smallyes(*command)
    assert answer.code == 2
    assert "skincare, winter" in answer.err
    assert "--journey" in answer.err


def test_a_named_journey_is_used(workspace: Workspace, smallyes: Smallyes) -> None:
    add_journey(workspace, "winter")
    assert written_to(smallyes, "--journey", "winter") == "winter"


def test_an_unknown_journey_lists_those_there_are(workspace: Workspace, smallyes: Smallyes) -> None:
    text = str(written_to(smallyes, "--journey", "summer"))
    assert "no journey 'summer'" in text
    assert "there are: skincare" in text
    assert not Path("log.csv").exists()


def test_a_workspace_without_journeys_says_so(workspace: Workspace, smallyes: Smallyes) -> None:
    (workspace.journeys / "skincare.yaml").unlink()
    answer = smallyes("funnel", "--log", "x.csv")
    assert answer.code == 2
    assert "has 0 journeys" in answer.err


def test_a_faulty_catalog_stops_what_needs_it_with_every_fault(workspace: Workspace, smallyes: Smallyes) -> None:
    file = workspace.journeys / "skincare.yaml"
    file.write_text(file.read_text().replace("effort: 8", "effort: 80").replace("kind: video", "kind: vidio"))
    answer = smallyes("funnel", "--log", "x.csv")
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 2
    assert "did you mean video?" in answer.err
    assert "received 80; allowed: a number from 0 to 10" in answer.err
