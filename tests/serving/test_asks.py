from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.domain import SECOND
from policy.asking import Asking
from tests.serving.shops import CATALOG, NOON, Shop, error_of, make_workspace, opened


def _probabilities(decision: dict[str, Any]) -> dict[str | None, float]:
    return {candidate["ask_id"]: candidate["propensity"] for candidate in decision["candidates"]}


def test_day_zero_spreads_half_and_gives_the_rest_to_the_baseline(shop: Shop) -> None:
    decision = shop.ask(trace=True)
    eligible = 4  # all but the one that needs a consent
    assert _probabilities(decision) == {
        "quiz": 0.5 / eligible + 0.5,
        "guide": 0.125,
        "save": 0.125,
        "buy": 0.125,
    }
    assert decision["blocked"] == [
        {"ask_id": "mail", "guardrail": "consent", "reason": decision["blocked"][0]["reason"]}
    ]
    assert decision["policy"] == {"name": "baseline", "version": None, "reason": None}


def test_the_propensity_is_that_of_the_drawn_ask(shop: Shop) -> None:
    for number in range(20):
        decision = shop.ask(f"v-{number}", trace=True)
        assert decision["propensity"] == _probabilities(decision)[decision["ask"]["id"]]


def test_without_trace_neither_candidates_nor_blocked_are_shown(shop: Shop) -> None:
    assert not {"candidates", "blocked"} & shop.ask().keys()


def test_a_consent_in_the_request_lifts_its_guardrail(shop: Shop) -> None:
    assert "mail" in _probabilities(shop.ask(trace=True, consents=["email"]))


def test_excluded_asks_have_probability_zero(shop: Shop) -> None:
    decision = shop.ask(trace=True, exclude=["quiz", "buy"])
    assert set(_probabilities(decision)) == {"guide", "save"}


def test_guardrails_hold_across_requests(shop: Shop) -> None:
    for _ in range(5):
        assert shop.ask()["ask"] is not None
    nothing = shop.ask(trace=True)
    assert nothing["ask"] is None
    assert nothing["propensity"] == 1.0
    assert nothing["progress"] is None
    assert nothing["next_possible_at"] == "2025-11-21T12:30:00.000004Z"
    assert {block["guardrail"] for block in nothing["blocked"]} >= {"max_asks_per_session"}


def test_the_same_decision_id_gets_the_same_answer(shop: Shop) -> None:
    first = shop.ask(decision_id="d-1")
    shop.clock.pass_s(100)
    assert shop.ask(decision_id="d-1") == first
    assert len(shop.get("/v1/visitors/v-1").json()["journeys"]["shop"]["recent_shows"]) == 1


def test_trace_may_differ_for_the_same_decision_id(shop: Shop) -> None:
    first = shop.ask(decision_id="d-1")
    assert shop.ask(decision_id="d-1", trace=True).items() >= first.items()


@pytest.mark.parametrize("change", [{"visitor_id": "v-2"}, {"channel": "chat"}, {"context": {"device": "mobile"}}])
def test_a_decision_id_with_other_fields_is_409(shop: Shop, change: dict[str, Any]) -> None:
    shop.ask(decision_id="d-1")
    answer = shop.post("/v1/next-ask", {"visitor_id": "v-1", "decision_id": "d-1", **change})
    assert error_of(answer, 409)["code"] == "conflict"


def test_an_unknown_journey_is_404_with_those_there_are(shop: Shop) -> None:
    error = error_of(shop.post("/v1/next-ask", {"visitor_id": "v", "journey": "shopp"}), 404)
    assert (error["code"], error["received"], error["allowed"]) == ("unknown_journey", "shopp", ["shop"])


def test_a_visitor_is_required_but_may_be_null(shop: Shop) -> None:
    assert error_of(shop.post("/v1/next-ask", {}), 422)["field"] == "visitor_id"
    assert shop.ask(None)["visitor_id"].startswith("session-")


def test_a_typo_in_a_field_is_422_and_named(shop: Shop) -> None:
    assert error_of(shop.post("/v1/next-ask", {"visitor_id": "v", "chanel": "web"}), 422)["field"] == "chanel"


def test_ids_may_be_unicode_but_not_over_long(shop: Shop) -> None:
    visitor = "visitör/ 100% 🙂"
    shop.ask(visitor)
    assert shop.get("/v1/visitors/visit%C3%B6r%2F%20100%25%20%F0%9F%99%82").json()["visitor_id"] == visitor
    assert error_of(shop.post("/v1/next-ask", {"visitor_id": "ö" * 129}), 422)["field"] == "visitor_id"
    assert error_of(shop.get("/v1/visitors/" + "v" * 257), 422)


@pytest.mark.parametrize("value", [2**70, 1e308, -0.0, "x" * 4096, True, None])
def test_odd_values_in_the_context_do_no_harm(shop: Shop, value: object) -> None:
    assert shop.ask(context={"odd": value}, answers={"odd": value})["ask"]


def test_answers_are_kept_and_known_ones_not_asked_for_again(shop: Shop) -> None:
    shop.ask(answers={"skin": "dry"})
    decision = shop.ask(trace=True)
    assert {"ask_id": "quiz", "guardrail": "collects"}.items() <= decision["blocked"][0].items()


def test_a_history_decides_from_itself_and_changes_nothing(shop: Shop) -> None:
    past = [
        {"ask_id": "quiz", "type": "shown", "at": "2025-11-21T11:00:00Z"},
        {"ask_id": "quiz", "type": "accepted", "at": "2025-11-21T11:00:05Z"},
    ]
    decision = shop.ask(history=past, at="2025-11-21T11:10:00Z", trace=True)
    assert "quiz" not in _probabilities(decision)
    assert decision["progress"]["step"] == (4 if decision["ask"]["id"] == "buy" else 2)
    assert shop.get("/v1/visitors/v-1").status_code == 404
    assert shop.tell({"type": "accepted", "decision_id": decision["decision_id"]})["rejected"]


def test_a_time_without_a_history_is_422(shop: Shop) -> None:
    answer = shop.post("/v1/next-ask", {"visitor_id": "v", "at": "2025-11-21T11:10:00Z"})
    assert error_of(answer, 422)["field"] == "at"


def test_a_page_reload_gets_the_open_decision_again(tmp_path: Path) -> None:
    with opened(make_workspace(tmp_path, CATALOG + "reuse_open: 1m\n")) as shop:
        first = shop.ask()
        shop.clock.pass_s(59)
        assert shop.ask() == first
        shop.clock.pass_s(2)
        assert shop.ask()["decision_id"] != first["decision_id"]


def test_a_deferred_decision_counts_only_once_it_is_shown(shop: Shop) -> None:
    decision = shop.ask(deferred=True)
    assert shop.get("/v1/visitors/v-1").json()["journeys"] == {}
    shop.clock.pass_s(3_600)
    assert shop.tell({"type": "shown", "decision_id": decision["decision_id"]})["accepted"] == 1
    record = shop.get(f"/v1/decisions/{decision['decision_id']}").json()
    assert record["shown_at"] == record["received_at"] == "2025-11-21T13:00:00.000000Z"
    assert record["at"] == "2025-11-21T12:00:00.000000Z"
    assert shop.get("/v1/visitors/v-1").json()["journeys"]["shop"]["session_shown"] == 1


def test_a_deferred_decision_that_its_guardrails_forbid_by_now_has_expired(shop: Shop) -> None:
    decision = shop.ask(deferred=True)
    for _ in range(5):
        shop.ask()
    rejected = shop.tell({"type": "shown", "decision_id": decision["decision_id"]})["rejected"]
    assert rejected[0]["error"]["code"] == "expired"


def test_a_batch_answers_in_order_and_names_what_is_wrong(shop: Shop) -> None:
    requests: list[dict[str, Any]] = [
        {"visitor_id": "a"},
        {"visitor_id": "b", "journey": "nope"},
        {},
        {"visitor_id": "a", "decision_id": "d-1"},
        {"visitor_id": "a", "decision_id": "d-1", "channel": "app"},
    ]
    decisions = shop.post("/v1/next-asks", {"requests": requests}).json()["decisions"]
    assert [decision.get("visitor_id") for decision in decisions] == ["a", None, None, "a", None]
    codes = [decision["error"]["code"] for decision in decisions if "error" in decision]
    assert codes == ["unknown_journey", "invalid_request", "conflict"]


def test_a_batch_keeps_every_cap(shop: Shop) -> None:
    decisions = shop.post("/v1/next-asks", {"requests": [{"visitor_id": "v"}] * 1_000}).json()["decisions"]
    assert sum(decision["ask"] is not None for decision in decisions) == 5
    assert len({decision["decision_id"] for decision in decisions}) == 1_000


@pytest.mark.parametrize("n", [0, 1_001])
def test_a_batch_has_1_to_1000_requests(shop: Shop, n: int) -> None:
    answer = shop.post("/v1/next-asks", {"requests": [{"visitor_id": "v"}] * n})
    assert error_of(answer, 422)["field"] == "requests"


def test_a_visitor_without_profile_gets_the_baseline_and_is_not_learned_from(shop: Shop) -> None:
    decision = shop.ask(profile=False)
    assert (decision["ask"]["id"], decision["propensity"]) == ("quiz", 1.0)
    assert shop.get(f"/v1/decisions/{decision['decision_id']}").json()["learn"] is False


def test_without_any_journey_a_request_says_so(tmp_path: Path) -> None:
    with opened(make_workspace(tmp_path, "format: 1\n")) as shop:
        assert error_of(shop.post("/v1/next-ask", {"visitor_id": "v"}), 422)["field"] == "journey"


def test_several_journeys_must_be_named(tmp_path: Path) -> None:
    with opened(make_workspace(tmp_path, CATALOG, CATALOG.replace("journey: shop", "journey: other"))) as shop:
        error = error_of(shop.post("/v1/next-ask", {"visitor_id": "v"}), 422)
        assert error["allowed"] == ["other", "shop"]
        assert shop.ask(journey="other")["journey"] == "other"


def test_a_clock_that_is_set_back_keeps_the_order_of_arrivals(shop: Shop) -> None:
    shop.ask()
    shop.clock.now = NOON - 3_600 * SECOND
    second = shop.get(f"/v1/decisions/{shop.ask()['decision_id']}").json()
    assert second["at"] == "2025-11-21T12:00:00.000001Z"


def test_a_fault_of_ours_in_one_request_of_a_batch_leaves_the_others_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def attempt(work: Asking, view: Any) -> Any:
        if work.visitor_id == "faulty":
            raise KeyError("our fault")
        return own(work, view)

    own = Asking.attempt
    monkeypatch.setattr(Asking, "attempt", attempt)
    requests = [{"visitor_id": visitor} for visitor in ("a", "faulty", "b")]
    decisions = shop.post("/v1/next-asks", {"requests": requests}).json()["decisions"]
    assert decisions[1]["error"]["code"] == "internal"
    assert decisions[0]["ask"]
    assert decisions[2]["ask"]
    assert "our fault" in caplog.text
