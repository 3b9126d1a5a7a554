"""Who keeps the poller: one per host, started again when it dies, gone when the service stops."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from data.workspace import Workspace
from policy.polling import NO_MLFLOW
from serving.poller import PollerKeeper
from tests.serving.shops import make_workspace

SLEEPING = ("-c", "import time; time.sleep(60)")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose registry is a server, so that there is something to follow."""
    return make_workspace(tmp_path, mlflow__uri="http://127.0.0.1:9")


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_keeper_runs_the_poller_and_another_one_takes_over(workspace: Workspace) -> None:
    first, second = (PollerKeeper(workspace, SLEEPING) for _ in range(2))
    first.start()
    _wait(lambda: first.pid is not None)
    second.start()
    time.sleep(0.7)
    assert second.pid is None
    pid = first.pid
    first.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    _wait(lambda: second.pid is not None)
    second.stop()
    assert second.pid is None


def test_a_poller_that_dies_is_started_again_and_that_is_told(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = PollerKeeper(workspace, SLEEPING)
    keeper.start()
    _wait(lambda: keeper.pid is not None)
    first = keeper.pid
    assert first is not None
    psutil.Process(first).kill()
    _wait(lambda: keeper.pid not in (None, first))
    keeper.stop()
    assert "the poller of the registry ended with -9; it is started again in 0.5 s" in caplog.text


def test_without_mlflow_the_poller_is_not_started_over_and_over(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    ran = workspace.root / "ran"
    code = f"import sys; open({str(ran)!r}, 'a').write('x'); sys.exit({NO_MLFLOW})"
    keeper = PollerKeeper(workspace, ("-c", code))
    keeper.start()
    _wait(ran.exists)
    time.sleep(1.5)
    keeper.stop()
    assert ran.read_text() == "x"
    assert caplog.text == ""


def test_the_poller_says_that_mlflow_is_missing(workspace: Workspace) -> None:
    code = "import sys; sys.modules['mlflow'] = None; from policy.polling import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == NO_MLFLOW
    assert "mlflow is not installed here: promotions in the registry are not followed" in done.stderr


def test_until_something_was_registered_there_is_no_process(tmp_path: Path) -> None:
    keeper = PollerKeeper(make_workspace(tmp_path, mlflow__poll_seconds=0.2), SLEEPING)
    keeper.start()
    time.sleep(0.6)
    assert keeper.pid is None
    keeper.stop()
