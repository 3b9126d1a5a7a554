"""The registry on a real MLflow database: versions whole or not at all, and every trouble in a sentence."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import BadBundle, BadInput, Unavailable
from data.workspace import Workspace, open_workspace
from policy.bundle import load_bundle
from policy.following import Pointed, publish_pointer
from policy.mlflow_file import locked
from policy.mlflow_trouble import explained, explanation
from policy.registry import CHALLENGER, CHAMPION, Registry, model_name
from tests.policy.registries import add_version, make_bundle, registry_workspace

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return registry_workspace(tmp_path_factory.mktemp("registry") / "a shop #1")


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return Registry.open(workspace)


@pytest.fixture
def journey() -> str:
    return f"journey_{next(_numbers)}"


@pytest.fixture
def copied(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The workspace copied elsewhere, to be damaged."""
    shutil.copytree(workspace.root, tmp_path / "copy")
    return open_workspace(tmp_path / "copy", {}, {})


def test_a_version_comes_back_as_it_was_registered(registry: Registry, journey: str, tmp_path: Path) -> None:
    digest = make_bundle(tmp_path / "bundle", journey)
    made = registry.register(journey, tmp_path / "bundle", {"gate": "better", "value": "0.12"}, "a sentence")
    assert (made.version, made.digest, made.aliases) == (1, digest, ())
    assert made.tags["gate"] == "better"
    assert registry.version(journey, 1) == made
    assert registry.download(made, tmp_path / "out").digest == digest
    assert {f.name: f.read_bytes() for f in (tmp_path / "out").iterdir()} == {
        f.name: f.read_bytes() for f in (tmp_path / "bundle").iterdir()
    }


def test_a_version_belongs_to_the_run_that_made_it(registry: Registry, journey: str, tmp_path: Path) -> None:
    run = registry.client.create_run(registry.experiment_id).info.run_id
    make_bundle(tmp_path / "bundle", journey)
    made = registry.register(journey, tmp_path / "bundle", {}, run_id=run)
    assert made.run_id == run
    outputs = registry.client.get_run(run).outputs.model_outputs
    assert [output.model_id for output in outputs] == [made.tags["model_id"]]
    assert registry.client.get_logged_model(made.tags["model_id"]).status == "READY"


def test_aliases_name_one_version_each(registry: Registry, journey: str, tmp_path: Path) -> None:
    assert registry.model(journey) is None
    assert registry.at_alias(journey, CHAMPION) is None
    for best in ("guide", "quiz"):
        add_version(registry, tmp_path, journey, best)
    registry.set_alias(journey, CHAMPION, 1)
    registry.set_alias(journey, CHAMPION, 2)
    registry.set_alias(journey, CHALLENGER, 1)
    assert registry.model(journey).aliases == {CHAMPION: 2, CHALLENGER: 1}  # type: ignore[union-attr]
    assert [(one.version, one.aliases) for one in registry.versions(journey)] == [(2, (CHAMPION,)), (1, (CHALLENGER,))]
    registry.delete_alias(journey, CHALLENGER)
    registry.delete_alias(journey, CHALLENGER)
    assert registry.at_alias(journey, CHALLENGER) is None
    champion = registry.at_alias(journey, CHAMPION)
    assert champion is not None
    assert champion.version == 2


def test_tags_of_versions_and_of_the_model_are_kept(registry: Registry, journey: str, tmp_path: Path) -> None:
    add_version(registry, tmp_path, journey)
    registry.set_tags(journey, 1, {"trial_share": "0.1"})
    assert registry.version(journey, 1).tags["trial_share"] == "0.1"
    registry.set_model_tag(journey, "previous", "day zero")
    assert registry.model(journey).tags["previous"] == "day zero"  # type: ignore[union-attr]
    registry.set_model_tag(journey, "previous", None)
    registry.set_model_tag(journey, "previous", None)
    assert "previous" not in registry.model(journey).tags  # type: ignore[union-attr]


def test_a_version_that_is_not_there_is_told_with_those_that_are(
    registry: Registry, journey: str, tmp_path: Path
) -> None:
    add_version(registry, tmp_path, journey)
    with pytest.raises(BadInput, match=f"version 9 of smallyes-{journey} is not in the registry; there are: 1"):
        registry.version(journey, 9)
    with pytest.raises(BadInput, match="there are: none"):
        registry.version("never", 1)


def test_a_bundle_of_another_journey_is_refused(registry: Registry, journey: str, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle", "other")
    with pytest.raises(BadBundle, match="of journey 'other'"):
        registry.register(journey, tmp_path / "bundle", {})
    assert registry.model(journey) is None


def test_making_a_registry_again_changes_nothing(workspace: Workspace) -> None:
    before = workspace.mlflow_file.read_bytes()  # type: ignore[union-attr]
    Registry.create(workspace)
    assert workspace.mlflow_file.read_bytes() == before  # type: ignore[union-attr]


def test_two_trainers_at_once_get_versions_of_their_own(
    workspace: Workspace, registry: Registry, journey: str, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from data.workspace import open_workspace; "
        "from policy.registry import Registry; "
        "r = Registry.create(open_workspace(Path(sys.argv[1]), {}, {})); r.experiment_id; print('ready', flush=True); "
        "print(*[r.register(sys.argv[2], Path(sys.argv[3]), {'n': str(n)}).version for n in range(4)])"
    )
    make_bundle(tmp_path / "bundle", journey)
    command = [sys.executable, "-c", code, str(workspace.root), journey, str(tmp_path / "bundle")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        ours = [registry.register(journey, tmp_path / "bundle", {"n": str(n)}).version for n in range(4)]
        theirs = [int(word) for word in other.stdout.read().split()]
    assert sorted(ours + theirs) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all("n" in one.tags and one.digest for one in registry.versions(journey))


# a workspace that moved


def test_a_moved_workspace_finds_and_adds_artifacts_in_its_new_place(
    workspace: Workspace, registry: Registry, journey: str, tmp_path: Path
) -> None:
    add_version(registry, tmp_path / "scratch", journey)
    shutil.copytree(workspace.root, tmp_path / "moved")
    moved = Registry.open(open_workspace(tmp_path / "moved", {}, {}))
    old = moved.version(journey, 1)
    assert old.source.startswith(str(tmp_path / "moved"))
    assert moved.download(old, tmp_path / "out").digest == old.digest
    new = add_version(moved, tmp_path / "scratch", journey, "quiz")
    assert new.version == 2
    assert new.source.startswith(str(tmp_path / "moved" / "var"))
    assert len(registry.versions(journey)) == 1


def test_a_version_read_before_the_move_is_found_after_it(
    registry: Registry, journey: str, tmp_path: Path, copied: Workspace
) -> None:
    version = add_version(registry, tmp_path / "scratch", journey)
    shutil.copytree(registry._artifacts, copied.mlflow_artifacts, dirs_exist_ok=True)  # type: ignore[arg-type, type-var]
    gone = replace(version, source=f"/gone/var/mlflow-artifacts/{version.source.partition('mlflow-artifacts/')[2]}")
    assert Registry.open(copied).download(gone, tmp_path / "out").digest == version.digest


# trouble


def test_a_missing_database_is_told_and_not_made(copied: Workspace) -> None:
    copied.mlflow_file.unlink()  # type: ignore[union-attr]
    with pytest.raises(Unavailable, match=r"mlflow\.db: the MLflow database is missing; restore it"):
        Registry.open(copied)
    assert not copied.mlflow_file.exists()  # type: ignore[union-attr]


def test_a_lost_database_is_not_replaced_by_an_empty_one_while_a_policy_is_live(copied: Workspace) -> None:
    copied.mlflow_file.unlink()  # type: ignore[union-attr]
    publish_pointer(copied.policies, "shop", champion=Pointed("7", "shop/7", "0" * 64))
    with pytest.raises(Unavailable, match="missing, though version 7 of shop is live"):
        Registry.create(copied)
    (copied.policies / "shop.json").unlink()
    assert Registry.create(copied).versions("shop") == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "half-written"), (b"this is no database" * 100, "damaged"), (None, "half-written")],
    ids=["empty", "garbage", "half"],
)
def test_a_database_that_is_none_is_told(copied: Workspace, content: bytes | None, words: str) -> None:
    file = copied.mlflow_file
    assert file is not None
    file.unlink()
    if content is None:
        sqlite3.connect(file).execute("CREATE TABLE experiments (name)").connection.close()
    else:
        file.write_bytes(content)
    for opening in (Registry.open, Registry.create):
        with pytest.raises(Unavailable, match=words):
            opening(copied)


def test_a_truncated_database_is_told(copied: Workspace) -> None:
    file = copied.mlflow_file
    assert file is not None
    os.truncate(file, 20_000)
    with pytest.raises(Unavailable, match=r"damaged|half-written"):
        Registry.open(copied)


def test_a_locked_database_is_told_and_nothing_is_registered(
    copied: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policy.mlflow_file._WAIT_S", 0.1)
    registry = Registry.open(copied)
    make_bundle(tmp_path / "bundle")
    other = sqlite3.connect(copied.mlflow_file, isolation_level=None)  # type: ignore[arg-type]
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="busy: another process holds its lock"):
        registry.register("shop", tmp_path / "bundle", {})
    other.execute("ROLLBACK")
    other.close()
    assert registry.versions("shop") == ()


def test_a_command_waits_for_another_one_that_writes(registry: Registry, journey: str, tmp_path: Path) -> None:
    add_version(registry, tmp_path, journey)
    with ThreadPoolExecutor(1) as pool:
        with locked(registry._file):  # type: ignore[arg-type]
            waiting = pool.submit(registry.set_alias, journey, CHAMPION, 1)
            assert threading.Event().wait(0.3) is False
            assert not waiting.done()
        waiting.result(30)
    assert registry.model(journey).aliases == {CHAMPION: 1}  # type: ignore[union-attr]


def test_a_deleted_artifact_is_told_with_its_place(registry: Registry, journey: str, tmp_path: Path) -> None:
    version = add_version(registry, tmp_path, journey)
    shutil.rmtree(version.source)
    with pytest.raises(Unavailable, match=r"version 1 of smallyes-.*: its artifact is gone \(.*mlflow-artifacts"):
        registry.download(version, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_byte_in_an_artifact_is_refused(registry: Registry, journey: str, tmp_path: Path) -> None:
    version = add_version(registry, tmp_path, journey)
    file = Path(version.source) / "data" / "bundle" / "policy.json"
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(BadBundle, match=r"artifact is damaged .*policy\.json: has changed"):
        registry.download(version, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_artifact_exchanged_for_another_good_one_is_refused(
    registry: Registry, journey: str, tmp_path: Path
) -> None:
    version = add_version(registry, tmp_path, journey)
    place = Path(version.source) / "data" / "bundle"
    shutil.rmtree(place)
    make_bundle(place, journey, "wishlist")
    with pytest.raises(BadBundle, match="not what was registered"):
        registry.download(version, tmp_path / "out")


def test_a_version_that_something_else_registered_is_refused(registry: Registry, journey: str, tmp_path: Path) -> None:
    registry.client.create_registered_model(model_name(journey))
    registry.client.create_model_version(model_name(journey), str(tmp_path))
    with pytest.raises(BadBundle, match="no tag bundle_digest"):
        registry.download(registry.version(journey, 1), tmp_path / "out")


def test_a_full_disk_registers_nothing(copied: Workspace, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    code = """
import resource, signal, sys
from pathlib import Path
from data.workspace import open_workspace
from policy.registry import Registry
registry = Registry.open(open_workspace(Path(sys.argv[1]), {}, {}))
registry.experiment_id
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))  # no file may grow beyond 400 bytes
try:
    print("registered", registry.register("shop", Path(sys.argv[2]), {"gate": "better"}))
except Exception as error:
    print(type(error).__name__, error)
"""
    command = [sys.executable, "-c", code, str(copied.root), str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Unavailable registering a version: "), done.stdout
    assert "the disk is full" in done.stdout
    assert "Traceback" not in done.stderr
    registry = Registry.open(copied)
    assert registry.versions("shop") == ()
    assert add_version(registry, tmp_path, best="quiz").version == 1


def test_artifacts_that_cannot_be_stored_leave_no_version(copied: Workspace, tmp_path: Path) -> None:
    registry = Registry.open(copied)
    place = copied.mlflow_artifacts / "models"  # type: ignore[operator]
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("not a folder")
    with pytest.raises(Unavailable, match="registering a version: "):
        add_version(registry, tmp_path)
    assert registry.versions("shop") == ()
    assert registry.model("shop") is None
    assert registry.client.search_logged_models([registry.experiment_id], filter_string="name = 'smallyes-shop'") == []
    place.unlink()
    assert add_version(registry, tmp_path, best="quiz").version == 1


def test_a_trainer_killed_while_registering_leaves_no_version(copied: Workspace, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    code = (
        "import os, sys; from pathlib import Path; from data.workspace import open_workspace; "
        "from policy.registry import Registry; r = Registry.open(open_workspace(Path(sys.argv[1]), {}, {})); "
        "r._ensure_model = lambda journey: os._exit(9)\n"
        "r.register('shop', Path(sys.argv[2]), {'gate': 'better'})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(copied.root), str(tmp_path / "bundle")], check=False)
    assert done.returncode == 9
    registry = Registry.open(copied)
    assert registry.versions("shop") == ()
    assert add_version(registry, tmp_path, best="quiz").version == 1


def test_a_server_that_is_away_is_told_within_seconds(tmp_path: Path) -> None:
    from tests.serving.shops import make_workspace

    workspace = make_workspace(tmp_path, mlflow__uri="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"the MLflow server at http://127\.0\.0\.1:9 cannot be reached"):
        Registry.open(workspace).model("shop")


def test_an_environment_without_mlflow_is_told() -> None:
    with pytest.raises(Unavailable, match="mlflow is not installed"), explained("sqlite:///x", "opening"):
        raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")


def test_an_unknown_error_of_mlflow_is_one_line() -> None:
    text = explanation(RuntimeError("first\nsecond"), "http://host", "reading")
    assert text == "reading: MLflow (http://host) says: first"


# for data scientists


def test_mlflow_itself_loads_the_champion_without_pickle(registry: Registry, journey: str, tmp_path: Path) -> None:
    made = add_version(registry, tmp_path, journey, "wishlist")
    registry.set_alias(journey, CHAMPION, 1)
    code = """
import sys, json, warnings
import mlflow, pandas as pd, policy
warnings.simplefilter("ignore")
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}@champion")
rows = [{"visitor_id": "v", "decision_id": f"d-{n}", "history": []} for n in range(200)]
columns = model.predict(pd.DataFrame(rows))
texts = model.predict(pd.DataFrame({"request": [json.dumps(row) for row in rows]}))
local = policy.load(sys.argv[3]).next_asks(rows)
print(json.dumps([columns.ask_id.tolist(), texts.ask_id.tolist(), [one["ask"]["id"] for one in local],
                  columns.propensity.tolist(), [one["propensity"] for one in local]]))
"""
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    bundle = str(Path(made.source) / "data" / "bundle")
    done = subprocess.run(
        [sys.executable, "-c", code, registry.uri, model_name(journey), bundle],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    columns, texts, local, propensities, expected = json.loads(done.stdout)
    assert columns == texts == local
    assert propensities == expected
    assert set(local) > {"wishlist"}


def test_the_artifact_holds_no_code_and_no_pickle(registry: Registry, journey: str, tmp_path: Path) -> None:
    made = add_version(registry, tmp_path, journey)
    found = {path.relative_to(made.source) for path in Path(made.source).rglob("*") if path.is_file()}
    assert not [path for path in found if path.suffix in (".py", ".pkl", ".pickle", ".joblib", ".pyc")]
    assert str(tmp_path.parent) not in (Path(made.source) / "MLmodel").read_text()
    assert load_bundle(Path(made.source) / "data" / "bundle").digest == made.digest
