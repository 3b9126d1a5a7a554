"""The guardrails that treat every ask alike: caps, pauses, and when to stop."""

from __future__ import annotations

from data.domain import Catalog, Limits
from tests.policy.guardrail_cases import DAY, a_catalog, a_situation, an_ask, block_by, minute_of, reason_of


def limited(**limits: int) -> Catalog:
    return a_catalog(an_ask("quiz"), an_ask("guide"), an_ask("buy"), limits=Limits(**limits), session_gap_s=1_800)


def test_a_session_sees_only_so_many_asks() -> None:
    story = ((0, "show", "quiz"), (1, "show", "guide"))
    block = block_by("max_asks_per_session", a_situation(limited(max_asks_per_session=2), *story, minute=5), "buy")
    assert block is not None
    assert block.reason == "you asked 2 times in this session; at most 2 are allowed"
    assert minute_of(block) == 31
    assert (
        block_by("max_asks_per_session", a_situation(limited(max_asks_per_session=3), *story, minute=5), "buy") is None
    )


def test_any_event_keeps_a_session_and_its_cap_going() -> None:
    story = ((0, "show", "quiz"), (20, "signal", "page_view"))
    situation = a_situation(limited(max_asks_per_session=1), *story, minute=40)
    assert minute_of(block_by("max_asks_per_session", situation, "buy")) == 50


def test_a_new_session_may_be_asked_again() -> None:
    situation = a_situation(limited(max_asks_per_session=1), (0, "show", "quiz"), minute=30)
    assert block_by("max_asks_per_session", situation, "buy") is None


def test_any_24_hours_see_only_so_many_asks() -> None:
    story = ((0, "show", "quiz"), (600, "show", "guide"))
    block = block_by("max_asks_per_day", a_situation(limited(max_asks_per_day=2), *story, minute=DAY - 1), "buy")
    assert block is not None
    assert block.reason == "you asked 2 times in the last 24 hours; at most 2 are allowed"
    assert minute_of(block) == DAY
    assert block_by("max_asks_per_day", a_situation(limited(max_asks_per_day=2), *story, minute=DAY), "buy") is None


def test_a_lowered_daily_cap_waits_until_enough_shows_are_a_day_old() -> None:
    story = ((0, "show", "quiz"), (10, "show", "guide"), (20, "show", "quiz"))
    situation = a_situation(limited(max_asks_per_day=1), *story, minute=30)
    assert minute_of(block_by("max_asks_per_day", situation, "buy")) == 20 + DAY


def test_two_asks_keep_their_distance() -> None:
    catalog = limited(min_gap_s=90)
    block = block_by("min_gap", a_situation(catalog, (0, "show", "quiz"), minute=1), "buy")
    assert block is not None
    assert block.reason == "you asked at 10:00; at least 90s must pass between two asks"
    assert minute_of(block) == 1.5
    assert block_by("min_gap", a_situation(catalog, (0, "show", "quiz"), minute=1.5), "buy") is None
    assert block_by("min_gap", a_situation(catalog, minute=0), "buy") is None


def test_a_decline_is_followed_by_a_pause_but_an_acceptance_is_not() -> None:
    catalog = limited(cooldown_after_decline_s=600)
    block = block_by("cooldown_after_decline", a_situation(catalog, (0, "no", "quiz"), minute=5), "buy")
    assert block is not None
    assert block.reason == "an ask was declined at 10:00; at least 10m must pass after a decline"
    assert minute_of(block) == 10
    assert block_by("cooldown_after_decline", a_situation(catalog, (0, "no", "quiz"), minute=10), "buy") is None
    assert block_by("cooldown_after_decline", a_situation(catalog, (0, "yes", "quiz"), minute=5), "buy") is None


def test_asking_stops_after_so_many_declines_in_a_row() -> None:
    catalog = limited(stop_after_declines=2)
    block = block_by(
        "stop_after_declines", a_situation(catalog, (0, "no", "quiz"), (1, "no", "guide"), minute=5), "buy"
    )
    assert block is not None
    assert block.reason == "declined 2 times in a row in this session; asking stops after 2"
    assert minute_of(block) == 31


def test_asking_stays_stopped_for_the_session_even_after_a_yes() -> None:
    story = ((0, "no", "quiz"), (1, "no", "guide"), (2, "unprompted", "quiz"))
    assert block_by("stop_after_declines", a_situation(limited(stop_after_declines=2), *story, minute=5), "buy")
    assert not block_by("stop_after_declines", a_situation(limited(stop_after_declines=2), *story, minute=32), "buy")


def test_declines_with_a_yes_between_are_not_in_a_row() -> None:
    story = ((0, "no", "quiz"), (1, "yes", "guide"), (2, "no", "quiz"))
    assert (
        reason_of("stop_after_declines", a_situation(limited(stop_after_declines=2), *story, minute=5), "buy") is None
    )


def test_an_ignored_ask_is_no_decline() -> None:
    story = ((0, "show", "quiz"), (1, "show", "quiz"))
    assert (
        reason_of("stop_after_declines", a_situation(limited(stop_after_declines=1), *story, minute=5), "buy") is None
    )


def test_a_limit_of_none_blocks_without_an_end() -> None:
    for name in ("max_asks_per_session", "max_asks_per_day", "stop_after_declines"):
        block = block_by(name, a_situation(limited(**{name: 0}), (0, "show", "quiz"), minute=1), "buy")
        assert block is not None
        assert block.until is None
