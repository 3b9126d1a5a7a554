"""From aliases to pointers: what is live on a host is what the registry says, and stays when it says nothing."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.clock import now
from data.errors import BadBundle, Unavailable
from data.workspace import Workspace, open_workspace
from policy.bundle import load_bundle
from policy.following import Following, Pointer, read_pointer
from policy.poller_status import PollerStatus, read_status, registry_troubles, write_status
from policy.polling import Poller
from policy.registry import CHALLENGER, CHAMPION, Registry
from policy.syncing import GRACE_S, N_KEPT, Syncing, sync
from tests.policy.registries import add_version, make_bundle, registry_workspace

_numbers = itertools.count(1)
_JOURNEYS = [f"journey_{number}" for number in range(1, 20)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return registry_workspace(tmp_path_factory.mktemp("syncing") / "shop", *_JOURNEYS)


@pytest.fixture(scope="module")
def empty(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace from before anything was registered."""
    return Path(shutil.copytree(workspace.root, tmp_path_factory.mktemp("empty") / "shop"))


@pytest.fixture(autouse=True)
def _copied_first(empty: Path) -> None:
    """The copy is made before the first test registers anything."""


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return Registry.open(workspace)


@pytest.fixture
def journey() -> str:
    return f"journey_{next(_numbers)}"


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return tmp_path / "policies"


def _versions(pointer: Pointer) -> tuple[str | None, str | None]:
    champion, challenger = pointer.champion, pointer.challenger
    return champion and champion.version, challenger and challenger.version


def test_a_journey_without_versions_is_left_alone(registry: Registry, journey: str, policies: Path) -> None:
    assert sync(registry, policies, journey) is False
    assert not policies.exists()


def test_without_a_champion_it_is_day_zero(registry: Registry, journey: str, policies: Path, tmp_path: Path) -> None:
    add_version(registry, tmp_path / "new", journey)
    assert sync(registry, policies, journey) is True
    assert read_pointer(policies, journey) == Pointer()
    assert sync(registry, policies, journey) is False


def test_a_champion_goes_live_with_its_bundle(
    workspace: Workspace, registry: Registry, journey: str, policies: Path, tmp_path: Path
) -> None:
    version = add_version(registry, tmp_path / "new", journey)
    registry.set_alias(journey, CHAMPION, 1)
    assert sync(registry, policies, journey) is True
    champion = read_pointer(policies, journey).champion
    assert champion is not None
    assert (champion.version, champion.digest) == ("1", version.digest)
    assert champion.folder == f"{journey}/1-{version.digest[:12]}"
    live = Following(workspace.journeys, policies, now).live[journey]
    assert live.champion is not None
    assert live.champion.digest == version.digest


def test_a_challenger_is_served_only_on_trial(registry: Registry, journey: str, policies: Path, tmp_path: Path) -> None:
    for best in ("guide", "quiz"):
        add_version(registry, tmp_path / "new", journey, best)
    registry.set_alias(journey, CHAMPION, 1)
    registry.set_alias(journey, CHALLENGER, 2)
    shares = []
    for share in ("0", "0.1", "0.25", "0"):
        registry.set_tags(journey, 2, {"trial_share": share})
        sync(registry, policies, journey)
        challenger = read_pointer(policies, journey).challenger
        shares.append(0.0 if challenger is None else challenger.share)
    assert shares == [0.0, 0.1, 0.25, 0.0]


def test_a_share_that_is_none_changes_nothing(registry: Registry, journey: str, policies: Path, tmp_path: Path) -> None:
    add_version(registry, tmp_path / "new", journey)
    registry.set_alias(journey, CHALLENGER, 1)
    for share in ("much", "nan", "1.5"):
        registry.set_tags(journey, 1, {"trial_share": share})
        with pytest.raises(BadBundle, match="trial_share must be a number from 0 to 1"):
            sync(registry, policies, journey)
    assert not (policies / f"{journey}.json").exists()


def test_a_damaged_artifact_keeps_what_is_live(
    registry: Registry, journey: str, policies: Path, tmp_path: Path
) -> None:
    add_version(registry, tmp_path / "new", journey)
    registry.set_alias(journey, CHAMPION, 1)
    sync(registry, policies, journey)
    broken = add_version(registry, tmp_path / "new", journey, "quiz")
    (Path(broken.source) / "data" / "bundle" / "catalog.yaml").write_text("nonsense")
    registry.set_alias(journey, CHAMPION, 2)
    with pytest.raises(BadBundle, match=r"catalog\.yaml: has changed"):
        sync(registry, policies, journey)
    shutil.rmtree(broken.source)
    with pytest.raises(Unavailable, match="artifact is gone"):
        sync(registry, policies, journey)
    assert _versions(read_pointer(policies, journey)) == ("1", None)
    assert [path.name[:2] for path in (policies / journey).iterdir()] == ["1-"]


def test_a_bundle_damaged_on_this_disk_is_fetched_again(
    registry: Registry, journey: str, policies: Path, tmp_path: Path
) -> None:
    version = add_version(registry, tmp_path / "new", journey)
    registry.set_alias(journey, CHAMPION, 1)
    syncing = Syncing(registry, policies)
    syncing.sync(journey)
    folder = policies / journey / f"1-{version.digest[:12]}"
    (folder / "policy.json").write_text("{}")
    syncing.sync(journey)
    assert load_bundle(folder).digest == version.digest
    shutil.rmtree(folder)
    syncing.sync(journey)
    assert load_bundle(folder).digest == version.digest


def test_processes_that_sync_at_once_do_no_harm(
    workspace: Workspace, registry: Registry, journey: str, policies: Path, tmp_path: Path
) -> None:
    for best in ("guide", "quiz"):
        add_version(registry, tmp_path / "new", journey, best)
    registry.set_alias(journey, CHAMPION, 2)
    registries = [Registry.open(workspace) for _ in range(4)]
    assert [one.model(journey) is not None for one in registries] == [True] * 4
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            list(pool.map(lambda one: sync(one, policies, journey), registries))
            shutil.rmtree(next((policies / journey).glob("2-*")))
        list(pool.map(lambda one: sync(one, policies, journey), registries))
    assert _versions(read_pointer(policies, journey)) == ("2", None)
    assert [path.name[:2] for path in (policies / journey).iterdir()] == ["2-"]


def test_a_pointer_that_is_damaged_is_written_again(
    registry: Registry, journey: str, policies: Path, tmp_path: Path
) -> None:
    add_version(registry, tmp_path / "new", journey)
    registry.set_alias(journey, CHAMPION, 1)
    policies.mkdir()
    (policies / f"{journey}.json").write_text("{")
    assert sync(registry, policies, journey) is True
    assert _versions(read_pointer(policies, journey)) == ("1", None)


def test_old_bundles_go_after_a_while_and_the_newest_stay(
    registry: Registry, journey: str, policies: Path, tmp_path: Path
) -> None:
    add_version(registry, tmp_path / "new", journey)
    registry.set_alias(journey, CHAMPION, 1)
    sync(registry, policies, journey)
    used = next((policies / journey).iterdir())
    for number in range(2, 10):
        make_bundle(policies / journey / f"{number}-{number:012x}", journey)
    (policies / journey / ".9-draft").mkdir()
    (policies / journey / "mine").mkdir()
    sync(registry, policies, journey)
    assert len(list((policies / journey).iterdir())) == 11
    long_ago = time.time() - GRACE_S - 10
    for folder in (policies / journey).iterdir():
        os.utime(folder, (long_ago, long_ago))
    sync(registry, policies, journey)
    kept = {folder.name.partition("-")[0] for folder in (policies / journey).iterdir()}
    assert kept == {"1", "mine", *(str(number) for number in range(10 - N_KEPT, 10))}
    assert used.stat().st_mtime > long_ago + GRACE_S / 2


# the poller


@pytest.fixture
def shop(empty: Path, tmp_path: Path) -> Workspace:
    """A workspace of its own, for what must not be shared."""
    shutil.copytree(empty, tmp_path / "shop")
    return open_workspace(tmp_path / "shop", {}, {})


def test_the_poller_follows_every_journey_and_says_how_it_went(shop: Workspace, tmp_path: Path) -> None:
    registry = Registry.open(shop)
    for journey in _JOURNEYS[-2:]:
        add_version(registry, tmp_path / "new", journey)
        registry.set_alias(journey, CHAMPION, 1)
    Poller(shop).look()
    for journey in _JOURNEYS[-2:]:
        assert _versions(read_pointer(shop.policies, journey)) == ("1", None)
    status = read_status(shop.policies)
    assert status is not None
    assert (status.pid, status.poll_seconds, status.troubles) == (os.getpid(), 5.0, {})
    assert status.succeeded_at is not None
    assert registry_troubles(shop.policies) == {}


def test_a_registry_that_goes_away_is_told_once_and_found_again(
    shop: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry.open(shop)
    add_version(registry, tmp_path / "new", _JOURNEYS[-3])
    registry.set_alias(_JOURNEYS[-3], CHAMPION, 1)
    poller = Poller(shop)
    poller.look()
    away = shop.mlflow_file.rename(shop.var / "away.db")  # type: ignore[union-attr]
    for _ in range(3):
        poller.look()
    assert "MLflow database is missing" in registry_troubles(shop.policies)["registry"]
    assert sum("missing" in record.getMessage() for record in caplog.records) == 1
    assert not shop.mlflow_file.exists()  # type: ignore[union-attr]
    assert _versions(read_pointer(shop.policies, _JOURNEYS[-3])) == ("1", None)
    away.rename(shop.mlflow_file)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "smallyes.registry"):
        poller.look()
    assert registry_troubles(shop.policies) == {}


def test_a_shop_without_a_registry_has_no_trouble(tmp_path: Path) -> None:
    from tests.serving.shops import make_workspace

    workspace = make_workspace(tmp_path)
    poller = Poller(workspace)
    poller.look()
    assert poller.troubles == {}


def test_a_poller_that_is_silent_for_long_is_told(tmp_path: Path) -> None:
    write_status(tmp_path, PollerStatus(7, 5.0, time.time() - 60))
    assert registry_troubles(tmp_path) == {}
    write_status(tmp_path, PollerStatus(7, 5.0, time.time() - 90))
    assert "the poller (process 7) is stuck" in registry_troubles(tmp_path)["registry"]
    (tmp_path / ".poller.json").write_text("{")
    assert registry_troubles(tmp_path) == {}
