"""Two worker processes on one store, and what keeps a service from starting."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.journeys.services import Service, make_served_workspace, served, start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    workspace = make_served_workspace(tmp_path_factory.mktemp("shop"), serve__workers=2)
    with served(workspace) as service:
        service.wait(lambda _: len(service.workers()) >= 2)
        yield service


def test_no_cap_is_exceeded_by_two_workers_at_once(service: Service) -> None:
    def ask(number: int) -> list[str | None]:
        with service.client() as client:
            requests = [{"visitor_id": f"v-{k % 10}"} for k in range(100)]
            answers = [client.post("/v1/next-ask", json=request) for request in requests]
        assert {answer.status_code for answer in answers} == {200}, answers
        return [a.json()["visitor_id"] for a in answers if a.json()["ask"] is not None]

    with ThreadPoolExecutor(8) as pool:
        shown = Counter(visitor for visitors in pool.map(ask, range(8)) for visitor in visitors)
    assert set(shown.values()) == {5}


def test_one_decision_id_gets_one_answer_from_every_worker(service: Service) -> None:
    def ask(number: int) -> tuple[str, ...]:
        with service.client() as client:
            requests = [{"visitor_id": f"same-{k}", "decision_id": f"same-{k}"} for k in range(30)]
            return tuple(client.post("/v1/next-ask", json=request).text for request in requests)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_metrics_are_those_of_both_workers(service: Service) -> None:
    for _ in range(40):
        with service.client() as client:
            client.post("/v1/outcomes", json={"events": [{"type": "left", "visitor_id": "m"}]})
    seen = set()
    for _ in range(10):
        with service.client() as client:
            lines = client.get("/metrics").text.splitlines()
        seen |= {line for line in lines if line.startswith("smallyes_outcomes_total")}
    total = {float(line.rpartition(" ")[2]) for line in seen}
    assert sum(total) >= 40
    assert len(seen) == 2


def test_a_worker_that_dies_is_replaced(service: Service) -> None:
    victim = service.workers()[0]
    victim.send_signal(signal.SIGKILL)
    service.wait(lambda _: victim.pid not in [w.pid for w in service.workers()] and len(service.workers()) >= 2)
    service.wait_ready()


def test_workers_leave_when_their_supervisor_was_killed(tmp_path: Path) -> None:
    service = start(make_served_workspace(tmp_path, serve__workers=2), tmp_path / "log")
    try:
        service.wait_ready()
        workers = service.workers()
        service.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=15)
        assert alive == []
    finally:
        service.kill()


def _refused(service: Service) -> str:
    try:
        assert service.process.wait(60) != 0
    finally:
        service.kill()
    return service.log.read_text()


def test_an_address_beyond_this_machine_needs_a_key(tmp_path: Path) -> None:
    workspace = make_served_workspace(tmp_path, serve__host="0.0.0.0")
    said = _refused(start(workspace, tmp_path / "log"))
    assert "there is no key" in said
    assert "Traceback" not in said


def test_a_store_that_cannot_be_opened_is_told_in_one_paragraph(tmp_path: Path) -> None:
    workspace = make_served_workspace(tmp_path)
    (tmp_path / "var" / "smallyes.db").write_text("this is no database, and never was one" * 100)
    said = _refused(start(workspace, tmp_path / "log"))
    assert "is damaged or no SQLite database" in said
    assert "Traceback" not in said


def test_without_any_journey_it_starts_and_is_not_ready(tmp_path: Path) -> None:
    workspace = make_served_workspace(tmp_path)
    (workspace.journeys / "0.yaml").unlink()
    service = start(workspace, tmp_path / "log")
    try:
        service.wait(lambda client: client.get("/livez").status_code == 200)
        with service.client() as client:
            assert client.get("/readyz").status_code == 503
    finally:
        service.stop()
