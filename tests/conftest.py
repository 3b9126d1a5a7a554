"""What tests of every room share: hypothesis profiles, a workspace, the command line, the data of the project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from data.workspace import Workspace, open_workspace
from policy import registry
from training.cli.app import run

settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer of a command that was asked for JSON."""
        return json.loads(self.out)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Whoever runs the tests may have a workspace in the environment; tests must not notice."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SMALLYES_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _registries_are_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow takes seconds for an empty database; the first one is made for real, the others are copies of it."""
    made, make = tmp_path_factory.mktemp("registry") / "mlflow.db", registry._make_database

    def copied(file: Path, artifacts: Path) -> None:
        if not made.exists():
            make(made, made.with_name("mlflow-artifacts"))
        artifacts.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_make_database", copied)
        yield


@pytest.fixture
def smallyes(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs a command line in this process: ``smallyes("funnel", "--log", log)``."""

    def command(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return command


@pytest.fixture
def workspace(tmp_path: Path, smallyes: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A new workspace, as ``smallyes init`` makes it, that is the current folder."""
    root = tmp_path / "shop"
    assert smallyes("init", root).code == 0
    monkeypatch.chdir(root)
    return open_workspace(root, {}, {})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets, where there is one."""
    named = os.environ.get("SHARED_DATA")
    if not named:
        pytest.skip("SHARED_DATA does not name the folder of public data sets")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"SHARED_DATA names {folder}, which is no folder")
    return folder


def command_line(*arguments: object) -> list[str]:
    """The command line as a process of its own."""
    return [sys.executable, "-P", "-c", "from training.cli import main; main()", *map(str, arguments)]


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts commands as processes of their own, ended at the end whatever happens."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(command_line(*arguments), text=True, **given)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
