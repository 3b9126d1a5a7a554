"""What every guardrail must pass: pure, a reason, an ``until`` that holds to the microsecond, one and many alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from data.domain import Ask
from features.state import Scopes, as_of, copy
from policy.guardrails.protocol import Block, Guardrail
from policy.guardrails.registry import GUARDRAILS
from policy.situation import Situation
from tests.policy.crowds import as_logged, crowd_of, groups_of_situations
from tests.policy.guardrail_cases import catalogs, situations

every_guardrail = pytest.mark.parametrize("guardrail", GUARDRAILS, ids=lambda guardrail: guardrail.name)
modest = settings(max_examples=40, deadline=None)


def concerned(guardrail: Guardrail, situation: Situation) -> list[Ask]:
    return [ask for ask in situation.catalog.asks if guardrail.concerns(ask, situation.catalog)]


def later(situation: Situation, now: int) -> Situation:
    """The same visitor at another time, when nothing happened in between."""
    return replace(situation, now=now, state=as_of(situation.state, now, Scopes.of(situation.catalog)))


def blocks(guardrail: Guardrail, situation: Situation) -> list[tuple[Ask, Block]]:
    found = [(ask, guardrail.block(ask, situation)) for ask in concerned(guardrail, situation)]
    return [(ask, block) for ask, block in found if block is not None]


@every_guardrail
@modest
@given(situation=situations())
def test_a_guardrail_changes_nothing_and_says_the_same_twice(guardrail: Guardrail, situation: Situation) -> None:
    before = copy(situation.state)
    assert blocks(guardrail, situation) == blocks(guardrail, situation)
    assert situation.state == before


@every_guardrail
@modest
@given(situation=situations())
def test_a_block_bears_the_guardrails_name_and_a_reason_in_one_line(guardrail: Guardrail, situation: Situation) -> None:
    for _, block in blocks(guardrail, situation):
        assert block.guardrail == guardrail.name
        assert block.reason.strip() == block.reason != ""
        assert "\n" not in block.reason
        assert "None" not in block.reason


@every_guardrail
@modest
@given(situation=situations())
def test_a_block_is_lifted_exactly_at_its_until_and_not_before(guardrail: Guardrail, situation: Situation) -> None:
    for ask, block in blocks(guardrail, situation):
        if block.until is not None:
            assert block.until > situation.now
            assert guardrail.block(ask, later(situation, block.until - 1)) is not None
            assert guardrail.block(ask, later(situation, block.until)) is None


@every_guardrail
@modest
@given(situation=situations())
def test_many_asks_are_judged_as_each_alone(guardrail: Guardrail, situation: Situation) -> None:
    screened: dict[str, Block] = {}
    guardrail.screen(tuple(concerned(guardrail, situation)), situation, screened)  # type: ignore[attr-defined]
    assert screened == {ask.id: block for ask, block in blocks(guardrail, situation)}


@every_guardrail
@modest
@given(situation=situations())
def test_an_earlier_block_is_kept(guardrail: Guardrail, situation: Situation) -> None:
    earlier = Block("earlier", "was first")
    screened = {ask.id: earlier for ask in situation.catalog.asks}
    guardrail.screen(tuple(concerned(guardrail, situation)), situation, screened)  # type: ignore[attr-defined]
    assert set(screened.values()) == {earlier}


@every_guardrail
@settings(max_examples=15, deadline=None)
@given(situations=groups_of_situations(catalogs))
def test_many_decisions_are_judged_as_each_alone(guardrail: Guardrail, situations: list[Situation]) -> None:
    asks = concerned(guardrail, situations[0])
    if not asks:
        return
    untils = [(situation, block.until) for situation in situations for _, block in blocks(guardrail, situation)]
    edges = [later(situation, until - before) for situation, until in untils if until is not None for before in (1, 0)]
    situations = [*situations, *edges]
    crowd = crowd_of(situations)  # of arrays that nobody can write to
    told = [[guardrail.block(ask, as_logged(situation)) is not None for ask in asks] for situation in situations]
    if guardrail.is_request_rule:  # a log keeps which asks a request ruled out, not why
        told = crowd.withheld[:, crowd.columns(asks)].tolist()
    mask = guardrail.mask(asks, crowd)  # type: ignore[attr-defined]
    assert mask.dtype == np.bool_
    assert mask.tolist() == told


def test_names_are_those_of_the_contract_in_a_fixed_order() -> None:
    assert [guardrail.name for guardrail in GUARDRAILS] == [
        "accepted",
        "repeatable",
        "requires",
        "excludes",
        "collects",
        "audience",
        "channels",
        "devices",
        "max_shows",
        "after_decline",
        "consent",
        "active",
        "exclude",
        "max_asks_per_session",
        "max_asks_per_day",
        "min_gap",
        "cooldown_after_decline",
        "stop_after_declines",
        "max_effort_step",
        "max_effort_gap",
        "step_down_after_decline",
    ]


def test_only_the_two_effort_rules_may_be_skipped_and_only_two_rules_depend_on_the_request_alone() -> None:
    assert {rule.name for rule in GUARDRAILS if rule.is_effort_rule} == {"max_effort_step", "step_down_after_decline"}
    assert {rule.name for rule in GUARDRAILS if rule.is_request_rule} == {"consent", "exclude"}
