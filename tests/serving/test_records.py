from __future__ import annotations

from typing import Any

from tests.serving.shops import Shop, error_of


def test_a_decision_can_be_audited(shop: Shop) -> None:
    decision = shop.ask(trace=True, channel="app", context={"device": "mobile"}, exclude=["buy"])
    shop.tell({"type": "accepted", "decision_id": decision["decision_id"], "event_id": "e-1", "value": 2.5})
    record = shop.get(f"/v1/decisions/{decision['decision_id']}").json()
    assert record["request"] == {"channel": "app", "context": {"device": "mobile"}, "answers": {}}
    assert record["candidates"] == decision["candidates"]
    assert record["blocked"] == decision["blocked"]
    assert record["withheld"] == ["mail", "buy"]
    assert record["propensity"] == decision["propensity"]
    assert (record["policy"], record["status"]) == ("baseline", "accepted")
    assert [(a["type"], a["event_id"], a["value"]) for a in record["answers"]] == [("accepted", "e-1", 2.5)]
    assert record["catalog"] == shop.get("/v1/journeys/shop").json()["digest"]


def test_an_audit_gives_no_token_away(shop: Shop) -> None:
    decision = shop.ask()
    assert decision["decision_token"] not in shop.get(f"/v1/decisions/{decision['decision_id']}").text


def test_an_unknown_decision_is_404(shop: Shop) -> None:
    assert error_of(shop.get("/v1/decisions/nope"), 404)["code"] == "unknown_decision"


def test_a_visitor_can_be_read(shop: Shop) -> None:
    shop.ask(answers={"skin": "dry"})
    visitor = shop.get("/v1/visitors/v-1").json()
    assert visitor["answers"] == {"skin": "dry"}
    state = visitor["journeys"]["shop"]
    assert state["last_shown_at"] == "2025-11-21T12:00:00.000000Z"
    assert state["last_declined_at"] is None
    assert state["arm"] == "main"


def test_a_session_that_ran_out_is_shown_as_over(shop: Shop) -> None:
    shop.ask()
    shop.clock.pass_s(1_800)
    assert shop.get("/v1/visitors/v-1").json()["journeys"]["shop"]["session_shown"] == 0


def test_an_unknown_visitor_is_404(shop: Shop) -> None:
    assert error_of(shop.get("/v1/visitors/nobody"), 404)["code"] == "unknown_visitor"


def test_erasing_deletes_everything_and_may_be_repeated(shop: Shop) -> None:
    decision_id = shop.ask()["decision_id"]
    shop.tell({"type": "accepted", "decision_id": decision_id})
    assert shop.send("DELETE", "/v1/visitors/v-1").json() == {"visitor_id": "v-1", "deleted": 3}
    assert shop.get("/v1/visitors/v-1").status_code == shop.get(f"/v1/decisions/{decision_id}").status_code == 404
    assert shop.send("DELETE", "/v1/visitors/v-1").json()["deleted"] == 0
    assert shop.tell({"type": "declined", "decision_id": decision_id})["rejected"]


def _merge(shop: Shop, from_id: str, to_id: str) -> dict[str, Any]:
    answer = shop.post("/v1/visitors/merge", {"from": from_id, "to": to_id})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_merge_makes_one_visitor_of_two(shop: Shop) -> None:
    for visitor in ("anon", "user"):
        shop.ask(visitor)
    assert _merge(shop, "anon", "user") == {"from": "anon", "to": "user", "merged": True}
    for visitor in ("anon", "user"):
        seen = shop.get(f"/v1/visitors/{visitor}").json()
        assert (seen["visitor_id"], seen["merged"]) == ("user", ["anon"])
        assert seen["journeys"]["shop"]["session_shown"] == 2


def test_a_merge_may_be_repeated(shop: Shop) -> None:
    _merge(shop, "anon", "user")
    assert _merge(shop, "anon", "user")["merged"] is False


def test_a_visitor_is_not_merged_with_itself(shop: Shop) -> None:
    assert error_of(shop.post("/v1/visitors/merge", {"from": "a", "to": "a"}), 422)["field"] == "from"


def test_a_merged_visitor_is_erased_whole_under_either_id(shop: Shop) -> None:
    for visitor in ("anon", "user"):
        shop.ask(visitor)
    _merge(shop, "anon", "user")
    shop.send("DELETE", "/v1/visitors/anon")
    for visitor in ("anon", "user"):
        assert shop.get(f"/v1/visitors/{visitor}").status_code == 404


def test_journeys_are_listed_as_in_their_files(shop: Shop) -> None:
    journey = shop.get("/v1/journeys").json()["journeys"][0]
    assert journey == shop.get("/v1/journeys/shop").json()
    assert (journey["goal"], len(journey["asks"]), len(journey["digest"])) == ("buy", 5, 64)
    assert error_of(shop.get("/v1/journeys/nope"), 404)["allowed"] == ["shop"]


def test_the_policy_of_day_zero_has_neither_champion_nor_challenger(shop: Shop) -> None:
    policy = shop.get("/v1/policy").json()["journeys"]["shop"]
    assert (policy["champion"], policy["challenger"], policy["trouble"]) == (None, None, None)
    assert policy["loaded_at"] == "2025-11-21T12:00:00.000000Z"
