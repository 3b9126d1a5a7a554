"""The guardrails about effort: progression, value exchange, stepping down after a no."""

from __future__ import annotations

import pytest

from data.domain import Catalog, Limits
from tests.policy.guardrail_cases import a_catalog, a_situation, an_ask, block_by, minute_of, reason_of

SMALL, MIDDLE, LARGE = an_ask("small", 2), an_ask("middle", 4), an_ask("large", 8)


def stepped(limit: float, **limits: bool) -> Catalog:
    return a_catalog(SMALL, MIDDLE, LARGE, limits=Limits(max_effort_step=limit, **limits))


def stepping_down(**limits: bool) -> Catalog:
    return a_catalog(SMALL, MIDDLE, LARGE, limits=Limits(step_down_after_decline=True, **limits))


def test_nothing_far_above_the_highest_accepted_effort_is_asked() -> None:
    reason = reason_of("max_effort_step", a_situation(stepped(4), (0, "yes", "small"), minute=1), "large")
    assert reason == "effort 8 is more than 4 above the highest accepted effort 2"


def test_before_the_first_yes_the_step_starts_at_0() -> None:
    situation = a_situation(stepped(3))
    assert reason_of("max_effort_step", situation, "small") is None
    assert reason_of("max_effort_step", situation, "middle") is not None


def test_a_step_of_exactly_the_limit_is_allowed() -> None:
    situation = a_situation(stepped(4), (0, "yes", "middle"), minute=1)
    assert reason_of("max_effort_step", situation, "large") is None


def test_the_highest_yes_counts_not_the_last_and_a_no_does_not() -> None:
    falling = a_situation(stepped(4), (0, "yes", "middle"), (1, "yes", "small"), minute=2)
    assert reason_of("max_effort_step", falling, "large") is None
    declined = a_situation(stepped(4), (0, "no", "middle"), minute=2)
    assert reason_of("max_effort_step", declined, "large") is not None


def test_accepted_efforts_count_in_their_episode_only() -> None:
    situation = a_situation(stepped(4), (0, "yes", "middle"), minute=7 * 24 * 60)
    assert reason_of("max_effort_step", situation, "large") is not None


def test_an_accepted_ask_that_left_the_catalog_has_no_effort() -> None:
    situation = a_situation(stepped(4), (0, "yes", "gone"), minute=1)
    assert reason_of("max_effort_step", situation, "middle") is None
    assert reason_of("max_effort_step", situation, "large") is not None


def test_time_alone_never_lifts_a_step() -> None:
    block = block_by("max_effort_step", a_situation(stepped(4)), "large")
    assert block is not None
    assert block.until is None


def test_decimals_are_compared_as_people_write_them() -> None:
    catalog = a_catalog(an_ask("a", 0.1), an_ask("b", 0.3), limits=Limits(max_effort_step=0.2))
    assert reason_of("max_effort_step", a_situation(catalog, (0, "yes", "a"), minute=1), "b") is None
    gap = a_catalog(an_ask("a", 1.1, gives=1), limits=Limits(max_effort_gap=0.1))
    assert reason_of("max_effort_gap", a_situation(gap), "a") is None


@pytest.mark.parametrize(("gives", "is_asked"), [(2, True), (1.9, False), (10, True)])
def test_no_ask_takes_much_more_than_it_gives(gives: float, is_asked: bool) -> None:
    catalog = a_catalog(an_ask("large", 8, gives=gives), limits=Limits(max_effort_gap=6))
    assert (reason_of("max_effort_gap", a_situation(catalog), "large") is None) == is_asked


def test_an_unequal_exchange_is_named() -> None:
    catalog = a_catalog(an_ask("large", 8, gives=1), limits=Limits(max_effort_gap=6))
    reason = reason_of("max_effort_gap", a_situation(catalog), "large")
    assert reason == "effort 8 is more than 6 above what it gives, 1"


def test_after_a_no_something_smaller_is_asked() -> None:
    situation = a_situation(stepping_down(), (1, "no", "middle"), minute=2)
    assert reason_of("step_down_after_decline", situation, "small") is None
    block = block_by("step_down_after_decline", situation, "middle")
    assert block is not None
    assert block.reason == "effort 4 is not below 4, the effort of middle, declined at 10:01"
    assert minute_of(block) == 31
    assert reason_of("step_down_after_decline", situation, "large") is not None


def test_a_yes_after_the_no_lifts_the_step_down() -> None:
    situation = a_situation(stepping_down(), (1, "no", "middle"), (2, "yes", "small"), minute=3)
    assert reason_of("step_down_after_decline", situation, "large") is None


def test_a_show_without_an_answer_leaves_the_no_the_last_answer() -> None:
    situation = a_situation(stepping_down(), (1, "no", "middle"), (2, "show", "small"), minute=3)
    assert reason_of("step_down_after_decline", situation, "large") is not None


def test_a_new_session_forgets_the_no() -> None:
    situation = a_situation(stepping_down(), (1, "no", "middle"), minute=31)
    assert reason_of("step_down_after_decline", situation, "large") is None


def test_a_declined_ask_that_left_the_catalog_blocks_nothing() -> None:
    situation = a_situation(stepping_down(), (1, "no", "gone"), minute=2)
    assert reason_of("step_down_after_decline", situation, "large") is None


def test_a_direct_ask_skips_both_effort_rules_but_only_for_the_goal() -> None:
    limits = Limits(max_effort_step=1, step_down_after_decline=True, max_effort_gap=3, direct_ask=True)
    catalog = a_catalog(SMALL, MIDDLE, LARGE, limits=limits)
    situation = a_situation(catalog, (1, "no", "small"), minute=2)
    assert reason_of("max_effort_step", situation, "large") is None
    assert reason_of("step_down_after_decline", situation, "large") is None
    assert reason_of("max_effort_gap", situation, "large") is not None
    assert reason_of("max_effort_step", situation, "middle") is not None
    assert reason_of("step_down_after_decline", situation, "middle") is not None
