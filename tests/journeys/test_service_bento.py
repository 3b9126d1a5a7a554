"""The service as it is shipped: built into a bento, served from another folder, without any network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from policy.launching import WORKSPACE_VARIABLE
from tests.journeys.services import Service, free_port, make_served_workspace

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "BENTOML_DO_NOT_TRACK": "true"}


def test_a_built_bento_serves_a_workspace(tmp_path: Path) -> None:
    environment = {**os.environ, **OFFLINE, "BENTOML_HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    bentoml = [sys.executable, "-P", "-m", "bentoml"]
    built = subprocess.run(
        [*bentoml, "build", ".", "--version", "test"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr.decode()
    workspace = make_served_workspace(tmp_path / "shop", serve__port=free_port())
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*bentoml, "serve", "smallyes:test", "--host", "127.0.0.1", "--port", str(workspace.settings.serve.port)],
            env=environment,
            cwd=workspace.journeys,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(workspace, process, log)
    try:
        service.wait_ready()
        with service.client() as client:
            assert client.post("/v1/next-ask", json={"visitor_id": "v"}).json()["journey"] == "shop"
        code = {str(file) for worker in service.workers() for file in _code_of(worker.pid)}
        assert code == {str(tmp_path / "home" / "bentos" / "smallyes" / "test" / "src")}
    finally:
        service.stop()


def _code_of(pid: int) -> list[Path]:
    """The folder that a worker runs in, which is where its code is."""
    return [Path(f"/proc/{pid}/cwd").resolve()]


@pytest.mark.parametrize("place", ["named", "nowhere"])
def test_a_service_without_workspace_says_how_to_make_one(tmp_path: Path, place: str) -> None:
    environment = {**os.environ, **OFFLINE, "BENTOML_HOME": str(tmp_path)}
    if place == "named":
        environment[WORKSPACE_VARIABLE] = str(tmp_path)
    arguments = [sys.executable, "-P", "-m", "bentoml", "serve", "serving.service:SmallYes", "--working-dir", str(ROOT)]
    done = subprocess.run(arguments, env=environment, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode != 0
    assert "smallyes init" in said
    assert "Traceback" not in said
