"""The walk by which catalogs are checked follows the guardrails by which asks are forbidden."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from data.catalog import walk_baseline
from data.domain import CHANNELS, SECOND, Catalog, Decision, Event
from features.state import JourneyState, Scopes, advance, as_of, show
from policy.guardrails.registry import compile_guards
from policy.situation import Situation
from tests.strategies import catalogs

START = 1_780_000_000 * SECOND
LASTING = {"requires", "excludes", "max_effort_step", "max_effort_gap"}
modest = settings(max_examples=150, deadline=None)


def without_context(catalog: Catalog) -> Catalog:
    """The catalog without the rules that the walk leaves aside."""
    free = {
        "audience": (),
        "devices": (),
        "channels": CHANNELS,
        "consent": None,
        "collects": (),
        "active_from": None,
        "active_until": None,
    }
    return replace(catalog, asks=tuple(replace(ask, **free) for ask in catalog.asks))


class Visitor:
    """Accepts everything, and comes when told."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.scopes = Scopes.of(catalog)
        self.guards = compile_guards(catalog)
        self.state = JourneyState()

    def situation(self, at: int) -> Situation:
        return Situation(self.catalog, as_of(self.state, at, self.scopes), at, "web", {}, {})

    def baseline_ask(self, at: int) -> str | None:
        situation = self.situation(at)
        blocks, shown = self.guards.first_blocks(situation), situation.state.asks
        eligible = [name for name in self.catalog.baseline if name not in blocks]
        fresh = [name for name in eligible if name not in shown or not shown[name].n_shown_episode]
        return next(iter([*fresh, *eligible]), None)

    def accept(self, ask_id: str, at: int) -> None:
        decision = Decision(f"d{at}{ask_id}", "v", self.catalog.journey, at, at, ask_id, 1.0, (ask_id,), "baseline")
        show(self.state, decision, self.scopes)
        answer = Event("v", "accepted", at, at, self.catalog.journey, ask_id, decision_id=decision.decision_id)
        advance(self.state, answer, self.scopes)


@modest
@given(catalogs().map(without_context))
def test_each_step_of_the_walk_is_what_the_baseline_asks_at_that_time(catalog: Catalog) -> None:
    visitor = Visitor(catalog)
    for step in walk_baseline(catalog).steps:
        at = START + step.at_s * SECOND
        assert visitor.baseline_ask(at) == step.ask_id
        visitor.accept(step.ask_id, at)


@modest
@given(catalogs().map(without_context))
def test_a_step_that_waits_could_not_come_earlier(catalog: Catalog) -> None:
    visitor = Visitor(catalog)
    for step in walk_baseline(catalog).steps:
        at = START + step.at_s * SECOND
        assert step.wait is None or visitor.baseline_ask(at - 1) is None
        visitor.accept(step.ask_id, at)


@modest
@given(catalogs().map(without_context))
def test_where_the_walk_is_stuck_time_lifts_no_block(catalog: Catalog) -> None:
    walk, visitor = walk_baseline(catalog), Visitor(catalog)
    for step in walk.steps:
        visitor.accept(step.ask_id, START + step.at_s * SECOND)
    last_at = START + (walk.steps[-1].at_s if walk.steps else 0) * SECOND
    for obstacle in walk.stuck:
        blocks = visitor.guards.all_blocks(catalog.ask(obstacle.ask_id), visitor.situation(last_at))
        assert LASTING & {block.guardrail for block in blocks}


@modest
@given(catalogs().map(without_context))
def test_where_the_walk_is_late_the_episode_would_be_over(catalog: Catalog) -> None:
    walk, visitor = walk_baseline(catalog), Visitor(catalog)
    if walk.late is None:
        return
    for step in walk.steps:
        visitor.accept(step.ask_id, START + step.at_s * SECOND)
    assert visitor.situation(START + walk.late.at_s * SECOND).state.episode_started_at == 0
    assert visitor.baseline_ask(START + walk.late.at_s * SECOND - 1) is None
