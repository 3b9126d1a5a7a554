"""What a request gets back, and what is remembered of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data.clock import to_iso
from data.domain import Decision, Exploration, Holdout
from data.errors import BadRequest
from policy.asking import new_decision_id
from policy.importing import import_arrivals
from policy.messages import AskRequest, parse
from tests.policy.shop import HOUR, MINUTE, START, Shop, limited, shop_catalog


def only_baseline() -> Shop:
    return Shop(shop_catalog(holdout=(Holdout(1.0, "baseline"),)))


def test_day_zero_gives_the_baseline_its_share_and_every_eligible_ask_some() -> None:
    decision = Shop().ask(trace=True)
    weights = {row["ask_id"]: row["propensity"] for row in decision["candidates"]}
    assert weights == {"quiz": 0.5 + 0.125, "guide": 0.125, "wishlist": 0.125, "purchase": 0.125}
    assert decision["policy"] == {"name": "baseline", "version": None, "reason": None}
    assert [(row["ask_id"], row["guardrail"]) for row in decision["blocked"]] == [("email", "consent")]


def test_the_same_decision_id_gets_the_same_answer_and_is_logged_once() -> None:
    shop = Shop()
    first = shop.ask(decision_id="d-1")
    shop.now += HOUR
    assert shop.ask(decision_id="d-1") == first
    assert shop.store.counts()["decisions"] == 1


def test_the_same_decision_id_may_be_asked_again_with_a_trace() -> None:
    shop = Shop()
    first = shop.ask(decision_id="d-1")
    again = shop.ask(decision_id="d-1", trace=True)
    assert {key: again[key] for key in first} == first
    assert again["candidates"]


@pytest.mark.parametrize(
    "changed",
    [
        {"channel": "chat"},
        {"context": {"device": "mobile"}},
        {"exclude": ["quiz"]},
        {"deferred": True},
        {"history": []},
    ],
)
def test_the_same_decision_id_with_other_fields_is_a_conflict(changed: dict[str, object]) -> None:
    shop = Shop()
    shop.ask(decision_id="d-1")
    with pytest.raises(BadRequest) as caught:
        shop.ask(decision_id="d-1", **changed)
    assert (caught.value.status, caught.value.field) == (409, "decision_id")


def test_context_in_another_order_is_the_same_request() -> None:
    shop = Shop()
    first = shop.ask(decision_id="d-1", context={"device": "mobile", "a": 1})
    assert shop.ask(decision_id="d-1", context={"a": 1, "device": "mobile"}) == first


def test_the_baseline_arm_walks_its_sequence() -> None:
    assert only_baseline().walk("v", "accepted", "accepted", "accepted", "accepted") == [
        "quiz",
        "guide",
        "wishlist",
        "purchase",
    ]


def test_an_answer_given_with_an_outcome_is_not_asked_for_again() -> None:
    shop = only_baseline()
    decision = shop.ask()
    shop.tell({"type": "ignored", "decision_id": decision["decision_id"], "answers": {"skin": "dry"}})
    shop.now += MINUTE
    blocked = shop.ask(trace=True)["blocked"]
    assert ("quiz", "collects") in [(row["ask_id"], row["guardrail"]) for row in blocked]


def test_a_session_cap_holds_across_requests_and_lifts_after_the_gap() -> None:
    shop = Shop(limited(max_asks_per_session=2))
    asked = shop.walk("v", "ignored", "ignored", "ignored")
    assert asked[2] is None
    lifts_at = START + 3 * MINUTE + 30 * MINUTE
    assert shop.ask()["next_possible_at"] == to_iso(lifts_at)
    shop.now = lifts_at - 10
    assert shop.ask()["ask"] is None
    shop.now = lifts_at
    assert shop.ask()["ask"] is not None


def test_a_null_decision_changes_no_state() -> None:
    shop = Shop(limited(max_asks_per_session=1))
    shop.walk("v", "ignored")
    before = shop.ask()["next_possible_at"]
    shop.now += MINUTE
    assert shop.ask()["next_possible_at"] == before


def test_a_null_decision_forced_by_guardrails_is_certain() -> None:
    decision = Shop().ask(exclude=["quiz", "guide", "wishlist", "purchase"], trace=True)
    assert decision["ask"] is None
    assert decision["propensity"] == 1.0
    assert [row["ask_id"] for row in decision["candidates"]] == [None]


def test_nothing_is_a_candidate_where_the_catalog_allows_it() -> None:
    shop = Shop(shop_catalog(allow_nothing=True))
    candidates = shop.ask(trace=True)["candidates"]
    assert candidates[-1]["ask_id"] is None
    assert candidates[-1]["propensity"] == pytest.approx(0.5 / 5)


@pytest.mark.parametrize(("policy", "first"), [("baseline", "quiz"), ("direct", "purchase"), ("none", None)])
def test_a_deterministic_holdout_does_not_explore(policy: str, first: str | None) -> None:
    shop = Shop(replace(limited(max_effort_step=4), holdout=(Holdout(1.0, policy),)))  # type: ignore[arg-type]
    decision = shop.ask(trace=True)
    assert (decision["ask"] and decision["ask"]["id"]) == first
    assert decision["propensity"] == 1.0
    assert decision["policy"]["name"] == "holdout"
    assert (first is None) == (None in [row["ask_id"] for row in decision["candidates"]])


def test_the_direct_arm_is_exempt_from_effort_rules_only() -> None:
    shop = Shop(replace(limited(max_effort_step=4), holdout=(Holdout(1.0, "direct"),)))
    decision = shop.ask("a", trace=True)
    assert decision["ask"]["id"] == "purchase"
    assert "purchase" not in [row["ask_id"] for row in decision["blocked"]]
    assert shop.ask("b", exclude=["purchase"])["ask"] is None


def test_the_random_arm_is_uniform_over_what_is_eligible() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(1.0, "random"),)))
    assert {row["propensity"] for row in shop.ask(trace=True)["candidates"]} == {0.25}


def test_arms_are_sticky_disjoint_and_of_the_stated_size() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(0.2, "baseline"), Holdout(0.1, "none"))))
    names = [shop.ask(f"v{i}")["policy"]["version"] for i in range(2_000)]
    assert 320 < names.count("baseline") < 480
    assert 140 < names.count("none") < 260
    assert [shop.ask(f"v{i}")["policy"]["version"] for i in range(50)] == names[:50]


def test_a_changed_share_applies_to_new_episodes_only() -> None:
    shop = Shop()
    shop.walk("v", "declined")
    shop.go_live(replace(shop.live, catalog=shop_catalog(holdout=(Holdout(1.0, "none"),))))
    assert shop.ask()["policy"]["name"] == "baseline"
    shop.now += 8 * 24 * HOUR
    assert shop.ask()["policy"]["name"] == "holdout"


def test_a_request_without_profile_gets_the_baseline_and_is_not_learned_from() -> None:
    shop = Shop(shop_catalog(exploration=Exploration(day_zero=1.0)))
    decision = shop.ask(profile=False)
    assert (decision["ask"]["id"], decision["propensity"], decision["policy"]["name"]) == ("quiz", 1.0, "baseline")
    (row,) = next(iter(shop.store.log("shop")))
    assert row.is_learnable is False  # type: ignore[union-attr]


def test_a_page_reload_gets_the_open_decision_again() -> None:
    shop = Shop(shop_catalog(reuse_open_s=60))
    first = shop.ask()
    shop.now += 30_000_000
    assert shop.ask() == first
    shop.now += 31_000_000
    assert shop.ask()["decision_id"] != first["decision_id"]


def test_an_answered_decision_is_not_given_again() -> None:
    shop = Shop(shop_catalog(reuse_open_s=60))
    first = shop.ask()
    shop.tell({"type": "declined", "decision_id": first["decision_id"]})
    assert shop.ask()["decision_id"] != first["decision_id"]


def test_an_open_decision_that_this_request_excludes_is_not_given_again() -> None:
    shop = Shop(shop_catalog(reuse_open_s=60))
    first = shop.ask()
    again = shop.ask(exclude=[first["ask"]["id"]])
    assert again["ask"]["id"] != first["ask"]["id"]


def test_without_a_visitor_a_session_id_is_made_that_keeps_guardrails_working() -> None:
    shop = Shop(limited(max_asks_per_session=1))
    first = shop.ask(None)
    assert first["visitor_id"].startswith("session-")
    assert shop.ask(first["visitor_id"])["ask"] is None
    assert shop.ask(None)["ask"] is not None


def test_history_decides_alone_and_leaves_no_trace_in_log_or_state() -> None:
    shop = Shop(limited(max_asks_per_session=1))
    shop.walk("v", "ignored")
    decision = shop.ask("v", history=[])
    assert decision["ask"] is not None
    assert shop.ask("v")["ask"] is None
    assert sum(len(batch) for batch in shop.store.log("shop")) == 3


def test_history_is_read_in_order_of_time() -> None:
    shop = Shop(limited(max_effort_step=2))
    history = [
        {"type": "accepted", "ask_id": "guide", "at": "2026-05-28T20:00:00Z"},
        {"type": "shown", "ask_id": "guide", "at": "2026-05-28T19:59:00Z"},
    ]
    candidates = shop.ask(history=history, at="2026-05-28T20:01:00Z", trace=True)["candidates"]
    assert [row["ask_id"] for row in candidates] == ["quiz", "wishlist"]


@pytest.mark.parametrize(
    ("history", "field"),
    [
        ([{"type": "shown", "ask_id": "quiz", "at": "2099-01-01T00:00:00Z"}], "history[0].at"),
        ([{"type": "declined", "ask_id": "quiz", "at": "2026-01-01T00:00:00Z"}], "history[0]"),
        ([{"type": "accepted", "at": "2026-01-01T00:00:00Z"}], "history[0].ask_id"),
        ([{"type": "signal", "at": "2026-01-01T00:00:00Z"}], "history[0].signal"),
    ],
)
def test_a_history_that_cannot_be_says_where(history: list[dict[str, str]], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Shop().ask(history=history)
    assert caught.value.field == field


def test_at_is_only_for_histories() -> None:
    with pytest.raises(BadRequest, match="only together with history"):
        Shop().ask(at="2026-01-01T00:00:00Z")


def test_an_unknown_journey_is_named_with_the_known_ones() -> None:
    with pytest.raises(BadRequest) as caught:
        Shop().ask(journey="shopp")
    assert (caught.value.status, caught.value.received, caught.value.allowed) == (404, "shopp", ["shop"])


def test_a_clock_set_back_lets_no_cap_slip() -> None:
    shop = Shop(limited(max_asks_per_session=2))
    shop.walk("v", "ignored", "ignored")
    shop.now -= 24 * HOUR
    assert shop.ask()["ask"] is None


def test_decision_ids_are_ordered_by_time_and_all_different() -> None:
    ids = [new_decision_id(START + i * 1_000) for i in range(500)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 500


def test_progress_never_grows_its_promise_and_ends_with_the_goal() -> None:
    shop = only_baseline()
    steps = []
    for _ in range(4):
        decision = shop.ask()
        steps.append((decision["progress"]["step"], decision["progress"]["of"]))
        shop.now += MINUTE
        shop.tell({"type": "accepted", "decision_id": decision["decision_id"]})
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_history_at_the_end_of_time_is_refused_where_it_is_wrong() -> None:
    with pytest.raises(BadRequest) as caught:
        Shop().ask(history=[], at="9999-12-31T00:00:00Z")
    assert caught.value.field == "at"


def test_an_imported_open_decision_is_not_given_again() -> None:
    shop = Shop(shop_catalog(reuse_open_s=60))
    row = Decision("theirs", "v", "shop", shop.now - 1_000_000, shop.now - 1_000_000, "quiz", None, None, "theirs")
    list(import_arrivals([(0, row)], shop.live, shop.store, now=shop.now))
    assert shop.ask()["decision_id"] != "theirs"


@pytest.mark.parametrize("policy", ["direct", "none", "baseline"])
def test_a_history_keeps_the_visitors_arm(policy: str) -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(1.0, policy),)))  # type: ignore[arg-type]
    history = [{"type": "shown", "ask_id": "quiz", "at": to_iso(START - MINUTE)}]
    assert shop.ask(history=history)["policy"] == shop.ask(history=[])["policy"] == shop.ask()["policy"]


def test_a_decision_without_profile_leaves_the_arm_alone() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(1.0, "random"),)))
    shop.ask(profile=False)
    assert shop.ask()["policy"]["name"] == "holdout"


def test_a_page_reload_keeps_new_answers_and_the_wish_for_no_profile() -> None:
    shop = Shop(shop_catalog(reuse_open_s=600))
    first = shop.ask(exclude=["quiz"])
    assert shop.ask(answers={"skin": "dry"})["decision_id"] == first["decision_id"]
    assert shop.ask(profile=False)["decision_id"] != first["decision_id"]
    blocked = {row["ask_id"]: row["guardrail"] for row in shop.ask(decision_id="d", trace=True)["blocked"]}
    assert blocked["quiz"] == "collects"


def test_a_page_reload_after_the_conversion_gets_a_new_decision() -> None:
    shop = Shop(shop_catalog(reuse_open_s=600))
    first = shop.ask()
    shop.tell({"type": "converted", "visitor_id": "v", "journey": "shop"})
    assert shop.ask()["decision_id"] != first["decision_id"]


def test_the_same_step_twice_in_a_history_counts_once() -> None:
    shop = Shop(limited(max_asks_per_session=2))
    step = {"type": "shown", "ask_id": "quiz", "decision_id": "h-1", "at": to_iso(START - MINUTE)}
    assert shop.ask(history=[step, step])["ask"] is not None


def test_a_retry_is_answered_even_when_another_journey_has_come() -> None:
    shop = Shop()
    first = shop.ask(decision_id="d-1")
    shop.add_journey(shop_catalog(journey="other"))
    assert shop.ask(decision_id="d-1") == first


def test_what_is_no_object_is_told_without_names_of_the_code() -> None:
    with pytest.raises(BadRequest, match=r"^The body: must be a JSON object\.$"):
        parse(AskRequest, b"[]")
