from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.errors import StoreUnavailable
from serving.meters import Meters
from tests.serving.shops import CATALOG, Shop, error_of, make_workspace, opened


def _metrics(shop: Shop) -> dict[str, float]:
    lines = shop.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_an_edited_catalog_is_taken_over(shop: Shop) -> None:
    file = shop.office.workspace.journeys / "0.yaml"
    file.write_text(CATALOG.replace("title: A guide", "title: The guide"))
    shop.look()
    assert shop.ask(exclude=["quiz", "save", "buy"])["ask"]["title"] == "The guide"


def test_a_bad_catalog_changes_nothing_and_shows(shop: Shop, caplog: Any) -> None:
    (shop.office.workspace.journeys / "0.yaml").write_text(CATALOG.replace("goal: buy", "goal: bye"))
    shop.look()
    assert shop.ask()["ask"]
    ready = shop.get("/readyz")
    assert ready.status_code == 200
    assert "bye" in ready.json()["catalog_faults"][0]
    assert "bye" in caplog.text
    assert _metrics(shop)["smallyes_catalog_faults"] >= 1


def test_a_fault_is_logged_once(shop: Shop, caplog: Any) -> None:
    (shop.office.workspace.journeys / "0.yaml").write_text("nonsense")
    for _ in range(3):
        shop.look()
    assert caplog.text.count("nonsense") == 1


def test_a_new_catalog_is_a_new_journey(shop: Shop) -> None:
    (shop.office.workspace.journeys / "1.yaml").write_text(CATALOG.replace("journey: shop", "journey: club"))
    shop.look()
    assert shop.ask(journey="club")["journey"] == "club"


def test_without_any_journey_the_service_starts_and_says_what_to_do(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    (workspace.journeys / "0.yaml").unlink()
    with opened(workspace) as shop:
        assert shop.get("/livez").status_code == 200
        ready = shop.get("/readyz")
        assert ready.status_code == 503
        assert "journeys" in ready.json()["advice"]


def test_decisions_outcomes_and_requests_are_counted(shop: Shop) -> None:
    decision = shop.ask(exclude=["guide", "save", "buy"])
    event = {"type": "accepted", "decision_id": decision["decision_id"], "event_id": "e"}
    shop.tell(event, event, {"type": "accepted", "decision_id": "nope"})
    counted = _metrics(shop)
    assert counted['smallyes_decisions_total{ask="quiz",journey="shop",policy="baseline"}'] == 1
    assert counted['smallyes_blocked_total{guardrail="exclude"}'] == 3
    for result in ("accepted", "duplicate", "rejected"):
        assert counted[f'smallyes_outcomes_total{{result="{result}"}}'] == 1
    assert counted['smallyes_request_seconds_count{route="next-ask"}'] == 1
    assert counted["smallyes_commit_seconds_count"] == 2


def test_an_answer_that_is_given_again_is_no_decision(shop: Shop) -> None:
    for _ in range(3):
        shop.ask(decision_id="d-1")
    assert sum(value for name, value in _metrics(shop).items() if name.startswith("smallyes_decisions_total")) == 1


def test_refused_requests_are_counted_under_names_of_our_own(shop: Shop) -> None:
    shop.get("/made/up/by/a/client")
    shop.post("/v1/next-ask", b"{")
    counted = _metrics(shop)
    assert counted['smallyes_errors_total{route="other",status="404"}'] == 1
    assert counted['smallyes_errors_total{route="next-ask",status="400"}'] == 1


def _fail(*_: object) -> None:
    raise StoreUnavailable("the disk is full")


def test_a_store_that_takes_nothing_is_503_and_shows(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.office.store, "commit", _fail)
    monkeypatch.setattr(shop.office.store, "check", _fail)
    answer = shop.post("/v1/next-ask", {"visitor_id": "v"})
    assert error_of(answer, 503)["code"] == "store_unavailable"
    assert answer.headers["retry-after"] == "1"
    assert "disk is full" not in answer.text
    assert shop.post("/v1/next-asks", {"requests": [{"visitor_id": "v"}]}).status_code == 503
    ready = shop.get("/readyz")
    assert (ready.status_code, ready.json()["store"]) == (503, "the disk is full")
    assert _metrics(shop)["smallyes_store_errors_total"] == 2


def test_an_outcome_that_was_not_taken_is_no_200(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    decision_id = shop.ask()["decision_id"]
    with monkeypatch.context() as patch:
        patch.setattr(shop.office.store, "commit", _fail)
        event = {"type": "accepted", "decision_id": decision_id}
        assert shop.post("/v1/outcomes", {"events": [event]}).status_code == 503
    assert shop.tell(event)["accepted"] == 1


def test_keys_stay_as_they_are_while_the_store_is_away(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.office.store, "keys", _fail)
    shop.look()
    assert shop.get("/v1/policy").status_code == 200


def test_meters_of_one_process_do_not_clash() -> None:
    first, second = Meters(), Meters()
    first.store_failed()
    assert b"smallyes_store_errors_total 0.0" in second.text()
