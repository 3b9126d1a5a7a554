"""A real service follows a real registry: no restart, one poller, and what is live outlives the registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from data.catalog import dump_catalog
from data.workspace import open_workspace
from policy.registry import CHAMPION, Registry
from tests.journeys.services import Service, Traffic, free_port, served
from tests.policy.registries import add_version, journey_catalog
from training.cli.app import run

pytestmark = pytest.mark.slow

KEYS = {"serve.poll_seconds": 0.1, "serve.deadline_ms": 5_000, "mlflow.poll_seconds": 0.2}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("follows") / "shop"
    (root / "journeys").mkdir(parents=True)
    (root / "journeys" / "shop.yaml").write_text(dump_catalog(journey_catalog("shop")))
    assert run(["init", str(root)]) == 0
    with served(open_workspace(root, {}, {**KEYS, "serve.port": free_port()})) as service:
        yield service


def _promote(service: Service, *arguments: str) -> None:
    assert run(["promote", "--workspace", str(service.workspace.root), *arguments]) == 0


def _champion(client: httpx.Client) -> str | None:
    champion = client.get("/v1/policy").json()["journeys"]["shop"]["champion"]
    return None if champion is None else champion["version"]


def _poller(service: Service, other_than: int = 0) -> psutil.Process:
    service.wait(lambda _: (found := service.poller()) is not None and found.pid != other_than, 20)
    found = service.poller()
    assert found is not None
    return found


def test_versions_go_live_under_traffic_without_a_restart(service: Service, tmp_path: Path) -> None:
    registry = Registry.open(service.workspace)
    pids = {worker.pid for worker in service.workers()}
    assert service.poller() is None  # day zero costs no process
    traffic = Traffic(service, 2)
    try:
        for version, best in (("1", "guide"), ("2", "wishlist")):
            add_version(registry, tmp_path, best=best, gate="worse")
            _promote(service, "--version", version, "--force")
            service.wait(lambda c, v=version: _champion(c) == v, 10)  # type: ignore[misc]
    finally:
        traffic.stop()
    assert not traffic.failures
    assert {answer["policy"]["version"] for _, answer in traffic.answers} >= {"1"}
    assert {worker.pid for worker in service.workers()} == pids


def test_the_poller_follows_what_somebody_else_promotes_and_is_started_again(service: Service, tmp_path: Path) -> None:
    registry = Registry.open(service.workspace)
    number = add_version(registry, tmp_path, best="quiz").version
    first = _poller(service)
    registry.set_alias("shop", CHAMPION, number)  # as on MLflow's own pages: no pointer is written by us
    service.wait(lambda c: _champion(c) == str(number), 20)
    first.kill()
    second = _poller(service, first.pid)
    registry.set_alias("shop", CHAMPION, 1)
    service.wait(lambda c: _champion(c) == "1", 20)
    assert second.is_running()
    assert len([one for one in psutil.process_iter(["cmdline"]) if _is_ours(one, service)]) == 1


def _is_ours(process: psutil.Process, service: Service) -> bool:
    if "policy.polling" not in (process.info["cmdline"] or []):
        return False
    return any(process.ppid() == worker.pid for worker in service.workers())


def test_a_registry_that_goes_away_changes_nothing_and_shows(service: Service) -> None:
    _poller(service)
    file = service.workspace.mlflow_file
    assert file is not None
    with service.client() as client:
        live = _champion(client)
        away = file.rename(file.with_name("away.db"))
        service.wait(lambda c: c.get("/readyz").json()["registry_troubles"] != {}, 20)
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert "MLflow database is missing" in ready.json()["registry_troubles"]["registry"]
        assert "smallyes_registry_troubles 1.0" in client.get("/metrics").text
        assert _champion(client) == live
        assert client.post("/v1/next-ask", json={"visitor_id": "away"}).json()["policy"]["name"] == "champion"
        assert not file.exists()
        away.rename(file)
        service.wait(lambda c: c.get("/readyz").json()["registry_troubles"] == {}, 20)
    assert "what is live stays live" in service.log.read_text()
    assert "Traceback" not in service.log.read_text()


def test_the_poller_leaves_with_a_worker_that_is_killed_and_the_next_one_keeps_another(service: Service) -> None:
    poller = _poller(service)
    for worker in service.workers():
        worker.kill()
    poller.wait(10)
    assert _poller(service, poller.pid)
    service.wait_ready()
