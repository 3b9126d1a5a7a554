from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.serving.shops import Shop, error_of, make_workspace, opened


def _codes(report: dict[str, Any]) -> list[tuple[int, str]]:
    return [(item["index"], item["error"]["code"]) for item in report["rejected"]]


def _state(shop: Shop, visitor_id: str = "v-1") -> dict[str, Any]:
    return shop.get(f"/v1/visitors/{visitor_id}").json()["journeys"]["shop"]


def test_an_accepted_ask_is_not_asked_again_and_moves_the_progress(shop: Shop) -> None:
    decision = shop.ask(exclude=["guide", "save", "buy"])
    assert decision["ask"]["id"] == "quiz"
    assert shop.tell({"type": "accepted", "decision_id": decision["decision_id"]}) == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": [],
    }
    follow_up = shop.ask(trace=True, exclude=["buy"])
    assert "accepted" in {block["guardrail"] for block in follow_up["blocked"] if block["ask_id"] == "quiz"}
    assert follow_up["progress"]["step"] == 2


def test_the_same_event_id_is_a_duplicate(shop: Shop) -> None:
    event = {"event_id": "e-1", "type": "signal", "signal": "page_view", "visitor_id": "v-1"}
    assert shop.tell(event, event)["duplicates"] == 1
    assert shop.tell(event) == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert _state(shop)["signals"]["page_view"]["n"] == 1


def test_the_first_answer_is_final(shop: Shop) -> None:
    decision_id = shop.ask()["decision_id"]
    report = shop.tell(
        {"type": "declined", "decision_id": decision_id}, {"type": "accepted", "decision_id": decision_id}
    )
    assert (report["accepted"], report["duplicates"]) == (1, 1)
    assert shop.get(f"/v1/decisions/{decision_id}").json()["status"] == "declined"


def test_an_ignored_ask_may_still_be_accepted(shop: Shop) -> None:
    decision_id = shop.ask()["decision_id"]
    for kind in ("ignored", "accepted"):
        assert shop.tell({"type": kind, "decision_id": decision_id})["accepted"] == 1
    record = shop.get(f"/v1/decisions/{decision_id}").json()
    assert record["status"] == "accepted"
    assert [answer["type"] for answer in record["answers"]] == ["ignored", "accepted"]


def test_an_answer_without_a_decision_joins_the_latest_open_one(shop: Shop) -> None:
    decision = shop.ask(exclude=["guide", "save", "buy"])
    shop.tell({"type": "accepted", "visitor_id": "v-1", "ask_id": "quiz"})
    assert shop.get(f"/v1/decisions/{decision['decision_id']}").json()["status"] == "accepted"


def test_what_is_wrong_is_rejected_by_index_and_the_rest_is_kept(shop: Shop) -> None:
    decision_id = shop.ask()["decision_id"]
    report = shop.tell(
        {"type": "accepted", "decision_id": "unknown"},
        {"type": "nonsense", "decision_id": decision_id},
        {"type": "accepted", "decision_id": decision_id},
        {"type": "signal", "visitor_id": "v-1"},
        {"type": "declined", "visitor_id": "v-1", "ask_id": "save"},
        {"type": "accepted", "visitor_id": "v-1", "ask_id": "nope"},
        {"type": "shown", "decision_id": decision_id},
    )
    assert report["accepted"] == 1
    assert _codes(report) == [
        (0, "unknown_decision"),
        (1, "invalid_request"),
        (3, "invalid_request"),
        (4, "no_open_decision"),
        (5, "unknown_ask"),
        (6, "not_deferred"),
    ]


def test_an_answer_to_nothing_is_rejected(shop: Shop) -> None:
    nothing = shop.ask(exclude=["quiz", "guide", "save", "buy"])
    assert nothing["ask"] is None
    assert _codes(shop.tell({"type": "accepted", "decision_id": nothing["decision_id"]})) == [(0, "nothing_asked")]


def test_a_time_too_far_ahead_is_rejected_and_one_too_early_is_the_decisions(shop: Shop) -> None:
    decision_id = shop.ask()["decision_id"]
    late = {"type": "accepted", "decision_id": decision_id, "at": "2025-11-21T12:05:01Z"}
    assert _codes(shop.tell(late)) == [(0, "in_the_future")]
    shop.tell({"type": "accepted", "decision_id": decision_id, "at": "2025-11-21T11:00:00Z"})
    record = shop.get(f"/v1/decisions/{decision_id}").json()
    assert record["answers"][0]["at"] == record["at"]


def test_outcomes_are_taken_weeks_late(shop: Shop) -> None:
    decision_id = shop.ask()["decision_id"]
    shop.clock.pass_s(60 * 86_400)
    assert shop.tell({"type": "accepted", "decision_id": decision_id})["accepted"] == 1


def test_a_conversion_ends_the_episode(shop: Shop) -> None:
    shop.ask()
    shop.tell({"type": "converted", "visitor_id": "v-1", "value": 49.9, "order_id": "o-1"})
    assert (_state(shop)["n_conversions"], _state(shop)["episode_started_at"]) == (1, None)


def test_answers_in_an_outcome_enter_the_profile(shop: Shop) -> None:
    shop.tell({"type": "accepted", "decision_id": shop.ask()["decision_id"], "answers": {"skin": "oily"}})
    assert shop.get("/v1/visitors/v-1").json()["answers"] == {"skin": "oily"}


@pytest.mark.parametrize("n", [0, 501])
def test_a_batch_has_1_to_500_events(shop: Shop, n: int) -> None:
    event = {"type": "left", "visitor_id": "v"}
    assert error_of(shop.post("/v1/outcomes", {"events": [event] * n}), 422)["field"] == "events"


def _beacon(shop: Shop, *events: dict[str, Any]) -> Any:
    return shop.post("/v1/outcomes", {"events": list(events)}, content_type="text/plain;charset=UTF-8")


def _event(decision: dict[str, Any], **fields: Any) -> dict[str, Any]:
    token = decision["decision_token"]
    return {"type": "accepted", "decision_id": decision["decision_id"], "decision_token": token, **fields}


def test_a_beacon_is_taken_when_every_event_carries_its_token(shop: Shop) -> None:
    answer = _beacon(shop, _event(shop.ask("a")), _event(shop.ask("b")))
    assert answer.json()["accepted"] == 2


@pytest.mark.parametrize("change", [{"decision_token": None}, {"decision_token": "x"}, {"decision_id": None}])
def test_a_beacon_with_an_event_without_its_token_is_415(shop: Shop, change: dict[str, Any]) -> None:
    good = _event(shop.ask("a"))
    assert error_of(_beacon(shop, good, _event(shop.ask("b"), **change)), 415)
    assert _beacon(shop, good).json()["accepted"] == 1


def test_the_token_of_another_decision_is_of_no_use(shop: Shop) -> None:
    other = shop.ask("b")["decision_token"]
    assert error_of(_beacon(shop, _event(shop.ask("a"), decision_token=other)), 415)


def test_a_token_expires(shop: Shop) -> None:
    decision = shop.ask()
    shop.clock.pass_s(91 * 86_400)
    assert error_of(_beacon(shop, _event(decision)), 415)


def test_next_ask_takes_no_beacon(shop: Shop) -> None:
    assert error_of(shop.post("/v1/next-ask", {"visitor_id": "v"}, content_type="text/plain"), 415)


def test_outcomes_of_one_batch_may_concern_many_visitors(tmp_path: Path) -> None:
    with opened(make_workspace(tmp_path)) as shop:
        events = [{"type": "signal", "signal": "page_view", "visitor_id": f"v-{n % 50}"} for n in range(500)]
        for number, event in enumerate(events):
            event["event_id"] = f"e-{number}"
        assert shop.tell(*events)["accepted"] == 500
        assert _state(shop, "v-7")["signals"]["page_view"]["n"] == 10
