"""A catalog's guardrails together: first blocks, all blocks, and when something will be possible again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from data.domain import Ask, Catalog, Limits
from features.state import Scopes, as_of
from policy.guardrails.protocol import Block
from policy.guardrails.registry import GUARDRAILS, compile_guards, next_possible_at
from policy.guardrails.rule import JourneyRule
from policy.situation import Situation
from tests.policy.guardrail_cases import DAY, MINUTE, TEN, a_catalog, a_situation, an_ask, at_minute, situations


def minute_again(situation: Situation) -> float | None:
    at = next_possible_at(compile_guards(situation.catalog), situation)
    return None if at is None else (at - TEN) / MINUTE


@settings(max_examples=200, deadline=None)
@given(situation=situations())
def test_the_first_block_of_an_ask_is_the_first_of_all_its_blocks(situation: Situation) -> None:
    guards = compile_guards(situation.catalog)
    first = {}
    for ask in situation.catalog.asks:
        blocks = guards.all_blocks(ask, situation)
        if blocks:
            first[ask.id] = blocks[0]
    assert list(guards.first_blocks(situation).items()) == list(first.items())


@settings(max_examples=200, deadline=None)
@given(situation=situations())
def test_all_blocks_are_those_of_every_guardrail_that_concerns_the_ask(situation: Situation) -> None:
    catalog = situation.catalog
    for ask in catalog.asks:
        told = [rule.block(ask, situation) for rule in GUARDRAILS if rule.concerns(ask, catalog)]
        assert compile_guards(catalog).all_blocks(ask, situation) == [block for block in told if block is not None]


@settings(max_examples=200, deadline=None)
@given(situation=situations())
def test_at_the_next_possible_instant_something_is_possible_and_nothing_just_before(situation: Situation) -> None:
    catalog, scopes = situation.catalog, Scopes.of(situation.catalog)
    guards = compile_guards(catalog)
    at = next_possible_at(guards, situation)
    if at is None:
        return
    then = replace(situation, now=at, state=as_of(situation.state, at, scopes))
    assert len(guards.first_blocks(then)) < len(catalog.asks)
    if at > situation.now:
        before = replace(situation, now=at - 1, state=as_of(situation.state, at - 1, scopes))
        assert len(guards.first_blocks(before)) == len(catalog.asks)


def test_where_something_is_possible_the_next_possible_instant_is_now() -> None:
    assert minute_again(a_situation(a_catalog(an_ask("buy")), minute=7)) == 7


def test_the_last_of_an_asks_blocks_decides_and_the_first_of_the_asks() -> None:
    asks = (an_ask("quiz", after_decline_s=600), an_ask("buy", after_decline_s=60))
    catalog = a_catalog(*asks, limits=Limits(min_gap_s=120))
    situation = a_situation(catalog, (0, "no", "quiz"), (1, "no", "buy"), minute=1)
    assert minute_again(situation) == 3


def test_an_ask_that_time_alone_never_lifts_does_not_count() -> None:
    catalog = a_catalog(an_ask("quiz", max_shows=1), an_ask("buy", requires=("quiz",)), conversion_window_s=86_400)
    assert minute_again(a_situation(catalog, (0, "show", "quiz"), minute=1)) == DAY
    never = a_catalog(an_ask("buy", consent="email_marketing"))
    assert minute_again(a_situation(never)) is None


def test_an_episodes_end_that_takes_the_accepted_efforts_with_it_is_no_opportunity() -> None:
    limits = Limits(max_effort_step=4)
    asks = (an_ask("step", 4, active_until=at_minute(60)), an_ask("buy", 8, max_shows=1))
    catalog = a_catalog(*asks, limits=limits, conversion_window_s=7_200)
    situation = a_situation(catalog, (0, "yes", "step"), (1, "no", "buy"), minute=2)
    assert minute_again(situation) is None


def test_an_ask_whose_period_is_over_by_then_is_no_opportunity() -> None:
    asks = (an_ask("sale", active_until=at_minute(10)), an_ask("buy", active_from=at_minute(90)))
    catalog = a_catalog(*asks, limits=Limits(max_asks_per_session=1))
    assert minute_again(a_situation(catalog, (0, "show", "sale"), minute=1)) == 90


def test_absent_limits_concern_nobody() -> None:
    catalog = a_catalog(an_ask("quiz"), an_ask("buy", 10))
    concerned = {rule.name for rule in GUARDRAILS for ask in catalog.asks if rule.concerns(ask, catalog)}
    assert concerned == {"accepted", "exclude"}


def test_an_ask_that_is_blocked_twice_is_told_the_reason_that_comes_first() -> None:
    catalog = a_catalog(an_ask("quiz"), an_ask("buy"), limits=Limits(max_asks_per_session=1))
    situation = a_situation(catalog, (0, "yes", "quiz"), minute=1, exclude={"quiz"})
    blocks = compile_guards(catalog).first_blocks(situation)
    assert {ask_id: block.guardrail for ask_id, block in blocks.items()} == {
        "quiz": "accepted",
        "buy": "max_asks_per_session",
    }


def test_blocks_stand_in_the_catalogs_order_whichever_guardrail_found_them() -> None:
    catalog = a_catalog(an_ask("first"), an_ask("second"), an_ask("buy"))
    situation = a_situation(catalog, (0, "yes", "second"), minute=1, exclude={"first"})
    blocks = compile_guards(catalog).first_blocks(situation)
    assert [(ask_id, block.guardrail) for ask_id, block in blocks.items()] == [
        ("first", "exclude"),
        ("second", "accepted"),
    ]


def test_a_journey_wide_guardrail_is_evaluated_once_a_situation() -> None:
    calls = []

    class Closed(JourneyRule):
        name = "closed"

        def is_on(self, catalog: Catalog) -> bool:  # noqa: ARG002
            return True

        def block_all(self, situation: Situation) -> Block | None:
            calls.append(situation)
            return Block(self.name, "closed")

    catalog = a_catalog(an_ask("a"), an_ask("b"), an_ask("c"))
    guards = compile_guards(catalog, (*GUARDRAILS, Closed()))
    assert list(guards.first_blocks(a_situation(catalog))) == ["a", "b", "c"]
    assert len(calls) == 1


def test_guards_never_call_a_guardrail_for_asks_that_it_does_not_concern() -> None:
    catalog = a_catalog(an_ask("a", requires=("b",)), an_ask("b"))

    def refuse(_: object, ask: Ask, situation: Situation) -> Block | None:
        raise AssertionError(f"asked about {ask.id}")

    requires = next(rule for rule in GUARDRAILS if rule.name == "requires")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(requires), "block", refuse)
        assert compile_guards(catalog).all_blocks(catalog.ask("b"), a_situation(catalog)) == []
