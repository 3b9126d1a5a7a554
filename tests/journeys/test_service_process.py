"""The service as it really runs: one worker, spoken to over a socket."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.catalog import load_catalog
from data.stores.registry import open_store
from policy.bundle import save_bundle
from policy.explorers import Greedy
from policy.following import Pointed, publish_pointer
from policy.scorers import ConstantScorer
from tests.journeys.services import Service, Traffic, make_served_workspace, served
from tests.serving.shops import CATALOG

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    workspace = make_served_workspace(tmp_path_factory.mktemp("shop"), serve__cors_origins=("https://shop.example",))
    with served(workspace) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def test_a_visit_from_first_ask_to_erasure(client: httpx.Client) -> None:
    decision = client.post("/v1/next-ask", json={"visitor_id": "v", "decision_id": "d-v"}).json()
    assert client.post("/v1/next-ask", json={"visitor_id": "v", "decision_id": "d-v"}).json() == decision
    event = {"type": "accepted", "decision_id": "d-v"}
    assert client.post("/v1/outcomes", json={"events": [event]}).json()["accepted"] == 1
    assert client.get("/v1/decisions/d-v").json()["status"] == "accepted"
    client.post("/v1/visitors/merge", json={"from": "v", "to": "user/ü"})
    assert client.get("/v1/visitors/user%2F%C3%BC").json()["merged"] == ["v"]
    assert client.delete("/v1/visitors/v").json()["deleted"] > 0
    assert client.get("/v1/decisions/d-v").status_code == 404


def test_the_documentation_page_reads_our_document(client: httpx.Client) -> None:
    assert "text/html" in client.get("/").headers["content-type"]
    assert client.get("/static_content/swagger-ui.css").status_code == 200
    assert client.get("/docs.json").json()["openapi"].startswith("3.1")


def test_metrics_are_served(client: httpx.Client) -> None:
    client.post("/v1/next-ask", json={"visitor_id": "m"})
    text = client.get("/metrics").text
    assert "smallyes_decisions_total" in text
    assert "smallyes_request_seconds_bucket" in text


def test_an_error_over_the_socket_has_shape_and_cors_headers(client: httpx.Client) -> None:
    answer = client.post("/v1/next-ask", content=b"{", headers={"origin": "https://shop.example"})
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_type"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def _raw(service: Service, *parts: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.02)
        return _whole(connection)


def _whole(connection: socket.socket) -> bytes:
    """One answer with all of its body, which may come after its head."""
    answer = b""
    while True:
        part = connection.recv(65_536)
        answer += part
        head, end, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not part or (end and length is not None and len(body) >= int(length[1])):
            return answer


HEAD = b"POST /v1/next-ask HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


def test_a_body_that_comes_in_pieces_is_read_whole(service: Service) -> None:
    answer = _raw(service, HEAD + b"content-length: 19\r\n\r\n", b'{"visitor', b'_id": "v"}')
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_chunked_body_is_cut_off_at_the_limit(service: Service) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    answer = _raw(service, HEAD + b"transfer-encoding: chunked\r\n\r\n", *([chunk] * 18))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


def test_an_announced_body_that_is_too_large_is_refused_before_it_is_sent(service: Service) -> None:
    answer = _raw(service, HEAD + b"content-length: 99999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


def test_clients_that_hang_up_in_the_middle_hurt_nobody(service: Service, client: httpx.Client) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(HEAD + b'content-length: 500\r\n\r\n{"visi')
    assert client.post("/v1/next-ask", json={"visitor_id": "after"}).status_code == 200
    assert "Traceback" not in service.log.read_text()


def test_a_client_that_stops_sending_gets_an_answer(tmp_path: Path) -> None:
    with served(make_served_workspace(tmp_path, serve__deadline_ms=200)) as service:
        started = time.monotonic()
        answer = _raw(service, HEAD + b'content-length: 500\r\n\r\n{"visi')
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"deadline"' in answer
        assert time.monotonic() - started < 2


def test_an_edited_catalog_is_followed_within_seconds(service: Service, client: httpx.Client) -> None:
    file = service.workspace.journeys / "0.yaml"
    try:
        file.write_text(CATALOG.replace("A guide", "The guide"))
        request = {"visitor_id": None, "exclude": ["quiz", "save", "buy"]}
        service.wait(lambda c: c.post("/v1/next-ask", json=request).json()["ask"]["title"] == "The guide", 10)
        file.write_text("format: 1\nnonsense: 1\n")
        service.wait(lambda c: bool(c.get("/readyz").json()["catalog_faults"]), 10)
        assert client.post("/v1/next-ask", json=request).json()["ask"]["title"] == "The guide"
    finally:
        file.write_text(CATALOG)
    service.wait(lambda c: not c.get("/readyz").json()["catalog_faults"], 10)


def _bundle(service: Service, version: str, best: str) -> Pointed:
    catalog = load_catalog(service.workspace.journeys / "0.yaml")
    scorer = ConstantScorer(tuple(ask.id for ask in catalog.asks), {best: 1.0})
    folder = f"shop/{version}"
    digest = save_bundle(
        service.workspace.policies / folder, scorer=scorer, explorer=Greedy(0.0), catalog=catalog, spec=None, info={}
    )
    return Pointed(version, folder, digest)


def test_policies_are_swapped_under_traffic(service: Service) -> None:
    policies = service.workspace.policies
    traffic = Traffic(service)
    try:
        for version, best in (("1", "guide"), ("2", "save"), ("3", "quiz")):
            publish_pointer(policies, "shop", champion=_bundle(service, version, best))
            service.wait(lambda c, v=version: _champion(c) == v, 10)  # type: ignore[misc]
    finally:
        traffic.stop()
        (policies / "shop.json").unlink()
    assert not traffic.failures
    versions = {answer["policy"]["version"] for _, answer in traffic.answers}
    assert versions >= {"1", "2"}
    first = [answer for request, answer in traffic.answers if answer["policy"]["version"] == "1"]
    assert {a["ask"]["id"] for a in first if a["progress"]["step"] == 1} <= {"guide", "quiz", "save", "buy"}
    service.wait(lambda c: _champion(c) is None, 10)


def _champion(client: httpx.Client) -> str | None:
    champion = client.get("/v1/policy").json()["journeys"]["shop"]["champion"]
    return None if champion is None else champion["version"]


def test_a_locked_store_is_503_in_time_and_nothing_is_lost(service: Service, client: httpx.Client) -> None:
    decision_id = client.post("/v1/next-ask", json={"visitor_id": "locked"}).json()["decision_id"]
    event = {"type": "accepted", "decision_id": decision_id}
    database = sqlite3.connect(service.workspace.root / "var" / "smallyes.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    refused = client.post("/v1/outcomes", json={"events": [event]})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert time.monotonic() - started < 2
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    database.execute("ROLLBACK")
    database.close()
    assert client.post("/v1/outcomes", json={"events": [event]}).json()["accepted"] == 1
    service.wait_ready()


def _stored(service: Service) -> dict[str, Any]:
    store = open_store(service.workspace.store_url)
    try:
        return {
            decision.decision_id: decision
            for batch in store.log("shop")
            for decision in batch
            if hasattr(decision, "propensity")
        }
    finally:
        store.close()


def test_everything_answered_is_stored_when_the_service_is_asked_to_stop(tmp_path: Path) -> None:
    with served(make_served_workspace(tmp_path)) as service:
        traffic = Traffic(service)
        time.sleep(1)
        assert service.stop() == 0
        traffic.stop()
    assert len(traffic.answers) > 20
    assert not traffic.failures
    assert {answer["decision_id"] for _, answer in traffic.answers} <= _stored(service).keys()


def test_everything_answered_survives_the_death_of_every_process(tmp_path: Path) -> None:
    workspace = make_served_workspace(tmp_path)
    with served(workspace) as service:
        traffic = Traffic(service)
        time.sleep(1)
        service.kill()
        traffic.stop()
    assert len(traffic.answers) > 20
    with served(workspace) as service, service.client() as client:
        for request, answer in traffic.answers[-20:]:
            assert client.post("/v1/next-ask", json=request).json() == answer
    assert {answer["decision_id"] for _, answer in traffic.answers} <= _stored(service).keys()
