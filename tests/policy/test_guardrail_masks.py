"""Guardrails for many decisions at once: the same as one by one, from states, from a log, and for the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.domain import Ask, AudienceRule, Catalog, Decision, Event, Feature, Limits
from data.log.items import frame_of, items_of
from features.state import Scopes, as_of, fold
from features.summary import summarize
from policy.baseline import baseline_ask, baseline_asks
from policy.crowd import Crowd, Distinct
from policy.guardrails.protocol import Block
from policy.guardrails.registry import GUARDRAILS, compile_guards, eligible_mask, forbidden_mask
from policy.guardrails.rule import AskRule, JourneyRule
from policy.situation import EveryConsent, Situation, of_declared_types
from tests.features.random_logs import CATALOG, Item, logs
from tests.policy import guardrail_cases
from tests.policy.crowds import as_logged, crowd_of, groups_of_situations, objects
from tests.policy.guardrail_cases import a_catalog, a_situation, an_ask, at_minute
from tests.strategies import catalogs

some = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
small_groups = groups_of_situations(guardrail_cases.catalogs)
any_groups = groups_of_situations(guardrail_cases.catalogs | catalogs())

LOGGED = replace(
    CATALOG,
    asks=(
        replace(CATALOG.asks[0], devices=("mobile",), max_shows=2, channels=("web", "email")),
        replace(CATALOG.asks[1], after_decline_s=15, audience=(AudienceRule("basket", ">=", 2.0),)),
        replace(CATALOG.asks[2], requires=("quiz",), repeat_after_s=10, audience=(AudienceRule("age", "<", 99.0),)),
    ),
    limits=Limits(max_asks_per_day=4, max_asks_per_session=3, max_effort_step=6, stop_after_declines=2, min_gap_s=2),
)
"""The journey of the random logs with guardrails to it."""


def one_by_one(situations: list[Situation]) -> list[list[bool]]:
    guards = compile_guards(situations[0].catalog)
    return [[ask.id in guards.first_blocks(s) for ask in s.catalog.asks] for s in situations]


@some
@given(situations=any_groups)
def test_the_mask_forbids_what_the_guards_block(situations: list[Situation]) -> None:
    guards, crowd = compile_guards(situations[0].catalog), crowd_of(situations)
    assert forbidden_mask(guards, crowd).tolist() == one_by_one(situations)
    assert (eligible_mask(guards, crowd) == ~forbidden_mask(guards, crowd)).all()


@some
@given(situations=any_groups)
def test_every_rules_mask_is_what_the_rule_says_of_each_ask(situations: list[Situation]) -> None:
    catalog, crowd = situations[0].catalog, crowd_of(situations)
    logged = [as_logged(situation) for situation in situations]
    for rule in GUARDRAILS:
        asks = [ask for ask in catalog.asks if rule.concerns(ask, catalog)]
        if rule.name == "consent" or not asks:  # a log does not tell missing consents from exclusions
            continue
        told = [[rule.block(ask, situation) is not None for ask in asks] for situation in logged]
        assert (rule.name, rule.mask(asks, crowd).tolist()) == (rule.name, told)


@some
@given(situations=any_groups, data=st.data())
def test_some_of_a_crowd_are_judged_as_they_are_in_the_whole(situations: list[Situation], data: st.DataObject) -> None:
    guards, crowd = compile_guards(situations[0].catalog), crowd_of(situations)
    rows = np.array(data.draw(st.lists(st.integers(0, len(situations) - 1))), dtype=np.int64)
    part = crowd.take(rows)
    assert len(part) == len(rows)
    assert (forbidden_mask(guards, part) == forbidden_mask(guards, crowd)[rows]).all()


@some
@given(situations=any_groups, data=st.data())
def test_the_baseline_of_many_is_the_baseline_of_each(situations: list[Situation], data: st.DataObject) -> None:
    catalog, crowd = situations[0].catalog, crowd_of(situations)
    row = st.lists(st.booleans(), min_size=len(catalog.asks), max_size=len(catalog.asks))
    eligible = np.array([data.draw(row) for _ in situations])
    expected = []
    for situation, flags in zip(situations, eligible, strict=True):
        ids = {ask.id for ask, is_eligible in zip(catalog.asks, flags, strict=True) if is_eligible}
        ask_id = baseline_ask(catalog, situation.state, ids)
        expected.append(-1 if ask_id is None else catalog.position[ask_id])
    assert baseline_asks(catalog, crowd.summary, eligible).tolist() == expected


def test_the_random_crowds_meet_every_rule_and_pass_it_too() -> None:
    forbidden, passed = Counter[str](), Counter[str]()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(situations=small_groups)
    def count(situations: list[Situation]) -> None:
        crowd = crowd_of(situations)
        for rule, asks in compile_guards(crowd.catalog)._asks_by_rule:
            mask = rule.mask(asks, crowd)
            forbidden[rule.name] += int(mask.sum())
            passed[rule.name] += int((~mask).sum())

    count()
    names = {rule.name for rule in GUARDRAILS}
    assert {name for name in names if forbidden[name] < 5} == set()
    assert {name for name in names if passed[name] < 5} == {"max_effort_gap"}  # forbids whatever it concerns


@some
@given(items=logs(has_merges=False), data=st.data())
def test_the_decisions_of_a_log_are_judged_as_its_replay_judges_them(items: list[Item], data: st.DataObject) -> None:
    withheld, is_served = st.sampled_from([(), (), ("buy",), ("quiz", "gone"), ("gone",)]), data.draw(st.booleans())
    decisions = [replace(item, withheld=data.draw(withheld)) for item in items if isinstance(item, Decision)]
    if is_served:  # otherwise one odd cell makes a column text
        decisions = [_of_declared_types(decision) for decision in decisions]
    shown = frame_of([*decisions, *(i for i in items if isinstance(i, Event))]).filter(pl.col("type") == "shown")
    situations = [_logged_situation(read, items) for read in items_of(shown) if isinstance(read, Decision)]
    summary = summarize([s.state for s in situations], [s.now for s in situations], LOGGED)
    crowd = Crowd.from_frame(shown, summary, LOGGED)
    expected = one_by_one(situations) if situations else []
    assert forbidden_mask(compile_guards(LOGGED), crowd).tolist() == expected


def _of_declared_types(decision: Decision) -> Decision:
    context = of_declared_types(decision.context, LOGGED.context)
    return replace(decision, context=context, answers=of_declared_types(decision.answers, LOGGED.answers))


def _logged_situation(decision: Decision, items: list[Item]) -> Situation:
    scopes = Scopes.of(LOGGED)
    known = [i for i in items if i.visitor_id == decision.visitor_id and i.received_at < decision.at]
    state = as_of(fold(known, scopes), decision.at, scopes)
    given = (decision.channel, decision.context, decision.answers)
    return Situation(LOGGED, state, decision.at, *given, consents=EveryConsent(), exclude=set(decision.withheld))


def test_a_log_without_optional_columns_tells_nothing_and_rules_nothing_out() -> None:
    catalog = a_catalog(an_ask("a", collects=("skin",)), an_ask("b"), answers=(Feature("skin", "category"),))
    rows = pl.DataFrame({"at": [5, 6]}).select(pl.from_epoch("at", "us").dt.replace_time_zone("UTC"))
    crowd = Crowd.from_frame(rows, crowd_of([a_situation(catalog), a_situation(catalog)]).summary, catalog)
    assert crowd.now.tolist() == [5, 6]
    assert crowd.channel.tolist() == ["web", "web"]
    assert crowd.answers["skin"].tolist() == [None, None]
    assert not crowd.withheld.any()
    assert eligible_mask(compile_guards(catalog), crowd).all()


@pytest.mark.parametrize("dtype", [pl.List(pl.String), pl.Null])
def test_a_log_in_which_nothing_was_ever_withheld_rules_nothing_out(dtype: pl.DataType) -> None:
    catalog = a_catalog(an_ask("a"), an_ask("b"))
    empty: list[list[str] | None] = [None, None] if dtype == pl.Null else [None, []]
    rows = pl.DataFrame({"at": [5, 6], "channel": [None, ""], "withheld": pl.Series(empty, dtype=dtype)})
    crowd = Crowd.from_frame(rows, crowd_of([a_situation(catalog), a_situation(catalog)]).summary, catalog)
    assert crowd.channel.tolist() == ["web", "web"]
    assert not crowd.withheld.any()


def test_what_is_withheld_stands_where_the_catalog_has_it() -> None:
    catalog = a_catalog(an_ask("a"), an_ask("b"), an_ask("c"))
    rows = pl.DataFrame({"at": [5, 6, 7], "withheld": [["c", "gone", "a"], None, ["b"]]})
    crowd = Crowd.from_frame(rows, crowd_of([a_situation(catalog)] * 3).summary, catalog)
    assert crowd.withheld.tolist() == [[True, False, True], [False, False, False], [False, True, False]]


def test_another_answer_makes_another_mask() -> None:
    catalog = a_catalog(an_ask("a", collects=("skin",)), an_ask("b"), answers=(Feature("skin", "category", ("dry",)),))
    crowd = crowd_of([a_situation(catalog)] * 3)
    told = replace(crowd, answers={"skin": objects([None, "dry", "blue"])})
    assert forbidden_mask(compile_guards(catalog), told)[:, 0].tolist() == [False, True, False]


def test_columns_of_numbers_are_taken_as_they_are() -> None:
    ask = an_ask("a", audience=(AudienceRule("basket", ">=", 50.0),))
    catalog = a_catalog(ask, an_ask("b"), context=(Feature("basket", "number", maximum=100),))
    crowd = replace(crowd_of([a_situation(catalog)] * 4), context={"basket": np.array([50.0, 49.9, np.nan, 101.0])})
    assert forbidden_mask(compile_guards(catalog), crowd)[:, 0].tolist() == [False, True, True, True]


def test_a_period_begins_and_ends_at_its_instants() -> None:
    catalog = a_catalog(an_ask("a", active_from=at_minute(10), active_until=at_minute(30)), an_ask("b"))
    instants = [at_minute(10) - 1, at_minute(10), at_minute(30) - 1, at_minute(30)]
    crowd = replace(crowd_of([a_situation(catalog)] * 4), now=np.array(instants))
    assert eligible_mask(compile_guards(catalog), crowd)[:, 0].tolist() == [False, True, True, False]


def test_an_empty_crowd_has_an_empty_mask() -> None:
    catalog = a_catalog(an_ask("a", channels=("web",), requires=("b",), devices=("mobile",)), an_ask("b"))
    crowd = crowd_of([a_situation(catalog)]).take(slice(0))
    mask = eligible_mask(compile_guards(catalog), crowd)
    assert mask.shape == (0, 2)
    assert baseline_asks(catalog, crowd.summary, mask).tolist() == []


def test_distinct_values_of_different_types_are_different() -> None:
    distinct = Distinct.of(objects([1, True, 1.0, "1", None, True]))
    assert distinct.codes.tolist() == [0, 1, 2, 3, 4, 1]
    assert distinct.where(lambda value: value is True).tolist() == [False, True, False, False, False, True]


def test_guards_and_crowd_must_be_of_one_catalog() -> None:
    first, second = a_catalog(an_ask("a"), an_ask("b")), a_catalog(an_ask("b"), an_ask("a"))
    with pytest.raises(ValueError, match="must be of one catalog"):
        forbidden_mask(compile_guards(first), crowd_of([a_situation(second)]))


def test_a_crowd_refuses_arrays_of_another_shape() -> None:
    catalog = a_catalog(an_ask("a"), an_ask("b"), answers=(Feature("skin", "category"),))
    crowd = crowd_of([a_situation(catalog)] * 2)
    with pytest.raises(ValueError, match=r"answers\.skin of a crowd must have shape \(2,\); received \(3,\)"):
        replace(crowd, answers={"skin": objects([None] * 3)})
    with pytest.raises(ValueError, match=r"withheld of a crowd must have shape \(2, 2\); received \(2, 3\)"):
        replace(crowd, withheld=np.zeros((2, 3), dtype=np.bool_))


class Whim(AskRule):
    """A rule for the request path alone."""

    name = "whim"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        return True

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:  # noqa: ARG002
        return asks

    def explain(self, ask: Ask, situation: Situation) -> Block:  # noqa: ARG002
        return Block(self.name, "not today")


class Closed(JourneyRule):
    """The same of all asks alike."""

    name = "closed"

    def is_on(self, catalog: Catalog) -> bool:  # noqa: ARG002
        return True

    def block_all(self, situation: Situation) -> Block | None:  # noqa: ARG002
        return Block(self.name, "closed")


@pytest.mark.parametrize("rule", [Whim(), Closed()])
def test_a_rule_without_a_mask_says_so_by_name(rule: AskRule | JourneyRule) -> None:
    catalog = a_catalog(an_ask("a"), an_ask("b"))
    crowd = crowd_of([a_situation(catalog)])
    with pytest.raises(NotImplementedError, match=f"guardrail {rule.name} "):
        forbidden_mask(compile_guards(catalog, (rule,)), crowd)
