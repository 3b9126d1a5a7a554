"""Outcomes: what counts, once; what does not, and why."""

from __future__ import annotations

from typing import Any

import pytest

from data.clock import to_iso
from data.domain import SECOND, Holdout, Limits
from features.state import decode
from tests.policy.shop import HOUR, MINUTE, START, Shop, limited, shop_catalog


def rejected(report: dict[str, Any]) -> dict[str, Any]:
    (item,) = report["rejected"]
    error: dict[str, Any] = item["error"]
    return error


def state_of(shop: Shop, visitor_id: str = "v") -> Any:
    return decode(shop.store.visitors((visitor_id,))[visitor_id].state).journeys["shop"]


def test_the_first_accept_or_decline_is_final() -> None:
    shop = Shop()
    decision = shop.ask()["decision_id"]
    assert shop.tell({"type": "declined", "decision_id": decision})["accepted"] == 1
    assert shop.tell({"type": "accepted", "decision_id": decision})["duplicates"] == 1
    assert state_of(shop).session_declined == 1


def test_ignored_is_replaced_by_an_answer_but_not_the_other_way_round() -> None:
    shop = Shop()
    decision = shop.ask()["decision_id"]
    assert shop.tell({"type": "ignored", "decision_id": decision})["accepted"] == 1
    assert shop.tell({"type": "ignored", "decision_id": decision, "event_id": "e"})["duplicates"] == 1
    assert shop.tell({"type": "accepted", "decision_id": decision})["accepted"] == 1
    assert shop.tell({"type": "ignored", "decision_id": decision, "event_id": "f"})["duplicates"] == 1


def test_an_event_id_counts_once_whatever_else_is_sent() -> None:
    shop = Shop()
    event = {"type": "signal", "visitor_id": "v", "journey": "shop", "signal": "page_view", "event_id": "e-1"}
    assert shop.tell(event, event)["accepted"] == 1
    assert shop.tell(event) == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert state_of(shop).signals["page_view"].n == 1


def test_events_without_an_id_are_told_apart_by_their_time() -> None:
    shop = Shop()
    event = {"type": "signal", "visitor_id": "v", "journey": "shop", "signal": "page_view"}
    times = [to_iso(START - 2), to_iso(START - 1), to_iso(START - 2)]
    report = shop.tell(*({**event, "at": at} for at in times))
    assert (report["accepted"], report["duplicates"]) == (2, 1)


def test_one_bad_event_does_not_spoil_the_rest() -> None:
    shop = Shop()
    good = {"type": "left", "visitor_id": "v", "journey": "shop"}
    report = shop.tell(good, {"type": "accepted", "decision_id": "nobody"}, {"type": "wrong"}, {"visitor_id": 3})
    assert report["accepted"] == 1
    assert [item["index"] for item in report["rejected"]] == [1, 2, 3]
    assert report["rejected"][0]["error"]["code"] == "unknown_decision"


def test_an_answer_without_a_decision_id_joins_the_latest_open_decision() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(1.0, "baseline"),)))
    decision = shop.ask()
    shop.tell({"type": "accepted", "visitor_id": "v", "journey": "shop", "ask_id": "quiz"})
    assert shop.store.decisions((decision["decision_id"],))[decision["decision_id"]].status == "accepted"


def test_an_unprompted_acceptance_counts_for_the_visitor() -> None:
    shop = Shop(shop_catalog())
    assert shop.tell({"type": "accepted", "visitor_id": "v", "journey": "shop", "ask_id": "guide"})["accepted"] == 1
    blocked = {row["ask_id"]: row["guardrail"] for row in shop.ask(trace=True)["blocked"]}
    assert blocked["guide"] == "accepted"


@pytest.mark.parametrize("answer", ["declined", "ignored"])
def test_a_refusal_of_nothing_is_rejected(answer: str) -> None:
    report = Shop().tell({"type": answer, "visitor_id": "v", "journey": "shop", "ask_id": "guide"})
    assert rejected(report)["code"] == "no_open_decision"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "accepted", "visitor_id": "v", "journey": "shop", "ask_id": "nope"}, "unknown_ask"),
        ({"type": "accepted", "visitor_id": "v", "journey": "nope", "ask_id": "quiz"}, "unknown_journey"),
        ({"type": "accepted", "visitor_id": "v", "journey": "shop"}, "invalid_request"),
        ({"type": "signal", "visitor_id": "v", "journey": "shop"}, "invalid_request"),
        ({"type": "converted"}, "invalid_request"),
        ({"type": "shown", "visitor_id": "v", "journey": "shop", "ask_id": "quiz"}, "invalid_request"),
        ({"type": "left", "visitor_id": "v", "journey": "shop", "at": "2099-01-01T00:00:00Z"}, "in_the_future"),
        ({"type": "left", "visitor_id": "v", "journey": "shop", "at": "tomorrow"}, "invalid_request"),
        ({"type": "converted", "visitor_id": "v", "journey": "shop", "value": "much"}, "invalid_request"),
    ],
)
def test_what_cannot_be_is_rejected_with_a_code(event: dict[str, Any], code: str) -> None:
    assert rejected(Shop().tell(event))["code"] == code


def test_an_answer_to_a_null_decision_is_rejected() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(1.0, "none"),)))
    decision = shop.ask()["decision_id"]
    assert rejected(shop.tell({"type": "accepted", "decision_id": decision}))["code"] == "nothing_asked"


def test_an_answer_from_before_its_decision_takes_the_decisions_time() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(1.0, "baseline"),)))
    decision = shop.ask()["decision_id"]
    shop.tell({"type": "accepted", "decision_id": decision, "at": to_iso(START - HOUR)})
    assert state_of(shop).asks["quiz"].accepted_at == START


def test_an_outcome_weeks_late_is_taken_but_leaves_the_new_session_alone() -> None:
    shop = Shop()
    old = shop.ask()["decision_id"]
    shop.now += 21 * 24 * HOUR
    shop.walk("v", "declined")
    assert shop.tell({"type": "accepted", "decision_id": old, "at": to_iso(START + MINUTE)})["accepted"] == 1
    state = state_of(shop)
    assert (state.session_accepted, state.session_declined, state.last_accepted_at) == (0, 1, START + MINUTE)


def test_a_conversion_ends_the_episode_once_per_order() -> None:
    shop = Shop()
    shop.walk("v", "accepted")
    event = {"visitor_id": "v", "journey": "shop", "order_id": "o-1"}
    shop.tell({**event, "type": "accepted", "ask_id": "purchase"}, {**event, "type": "converted", "value": 30})
    assert (state_of(shop).n_conversions, state_of(shop).episode_started_at) == (1, 0)


def test_a_deferred_decision_counts_only_once_it_is_shown() -> None:
    shop = Shop(limited(max_asks_per_session=1))
    decision = shop.ask(deferred=True)["decision_id"]
    assert shop.ask(deferred=True)["ask"] is not None
    assert shop.tell({"type": "shown", "decision_id": decision})["accepted"] == 1
    assert shop.tell({"type": "shown", "decision_id": decision, "event_id": "again"})["duplicates"] == 1
    assert shop.ask()["ask"] is None


def test_an_activation_checks_the_caps_again() -> None:
    shop = Shop(limited(max_asks_per_session=1))
    decision = shop.ask(deferred=True)["decision_id"]
    shop.walk("v", "ignored")
    error = rejected(shop.tell({"type": "accepted", "decision_id": decision}))
    assert error["code"] == "expired"
    assert "max_asks_per_session" in error["message"]


def test_an_answer_activates_a_deferred_decision_too() -> None:
    shop = Shop(limited(max_asks_per_session=1))
    decision = shop.ask(deferred=True)
    assert shop.tell({"type": "accepted", "decision_id": decision["decision_id"]})["accepted"] == 1
    state = state_of(shop)
    assert (state.session_shown, state.session_accepted) == (1, 1)


def test_shown_is_only_for_deferred_decisions() -> None:
    shop = Shop()
    decision = shop.ask()["decision_id"]
    assert rejected(shop.tell({"type": "shown", "decision_id": decision}))["code"] == "not_deferred"


def test_outcomes_of_decisions_from_histories_are_rejected() -> None:
    shop = Shop()
    decision = shop.ask(history=[])["decision_id"]
    assert rejected(shop.tell({"type": "accepted", "decision_id": decision}))["code"] == "unknown_decision"


def test_three_declines_in_a_row_end_the_asking_for_the_session() -> None:
    shop = Shop(shop_catalog(limits=Limits(stop_after_declines=3)))
    shop.walk("v", "declined", "declined", "declined")
    decision = shop.ask(trace=True)
    assert decision["ask"] is None
    assert {"stop_after_declines"} <= {row["guardrail"] for row in decision["blocked"]}


def test_the_event_of_another_visitor_cannot_answer_a_decision() -> None:
    shop = Shop()
    decision = shop.ask()["decision_id"]
    error = rejected(shop.tell({"type": "accepted", "decision_id": decision, "visitor_id": "w"}))
    assert error["field"] == "visitor_id"


def test_an_event_from_a_clock_that_is_ahead_does_not_move_the_session_into_the_future() -> None:
    shop = Shop(limited(max_asks_per_session=2))
    ahead = to_iso(shop.now + 4 * MINUTE)
    shop.tell({"type": "signal", "visitor_id": "v", "journey": "shop", "signal": "page_view", "at": ahead})
    asked = [shop.ask()["ask"] for _ in range(5)]
    assert [ask is not None for ask in asked] == [True, True, False, False, False]


def test_a_conversion_from_before_its_decision_takes_the_decisions_time_too() -> None:
    shop = Shop()
    decision = shop.ask()["decision_id"]
    shop.now += MINUTE
    shop.tell({"type": "converted", "decision_id": decision, "at": to_iso(START - 90 * SECOND)})
    assert (state_of(shop).n_conversions, state_of(shop).episode_started_at) == (1, 0)


def test_answers_without_decision_ids_in_one_batch_join_one_decision_each() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(1.0, "baseline"),)))
    first = shop.ask(exclude=["guide", "wishlist", "purchase"])["decision_id"]
    shop.now += MINUTE
    second = shop.ask(exclude=["guide", "wishlist", "purchase"])["decision_id"]
    answer = {"type": "declined", "visitor_id": "v", "journey": "shop", "ask_id": "quiz"}
    assert shop.tell({**answer, "event_id": "e0"}, {**answer, "event_id": "e1"})["accepted"] == 2
    assert {stored.status for stored in shop.store.decisions((first, second)).values()} == {"declined"}
