"""Worlds: plain data that can be written down, checked, and told apart; and a small one for the other tests."""

import json
from dataclasses import replace

import pytest

from data.catalog import walk_baseline
from data.domain import Ask, Catalog, Feature, Limits
from data.errors import BadInput
from data.simulator.tables import tables_of
from data.simulator.truth import exact_rules
from data.simulator.world import (
    Dynamics,
    Leaving,
    Observation,
    Response,
    SignalRate,
    Timing,
    VisitorType,
    World,
)
from data.simulator.worlds import WORLDS, world

TINY_DYNAMICS = Dynamics(
    trust_up=0.1,
    trust_up_gives=0.2,
    trust_down=-1.0,
    trust_down_strain=0.2,
    tire=-0.5,
    tire_effort=0.1,
    relief=0.8,
    rest=0.3,
    recovery=1,
    forget=0.2,
)
TINY_LEAVING = Leaving(
    stay=0.5,
    stay_trust=0.3,
    stay_fatigue=0.3,
    stay_answer={"accepted": 0.5, "declined": -0.5},
    late=-3.0,
    late_trust=0.4,
    late_marks={"reachable": 0.8},
    back=-0.5,
    back_trust=0.2,
    back_fatigue=0.2,
    back_marks={"reachable": 0.9},
    max_steps=3,
    max_visits=2,
)


def tiny(limits: Limits = Limits(max_asks_per_session=2), **catalog: object) -> World:  # noqa: B008 - frozen
    """Two types of visitors, four asks, two visits of three steps: small enough to be counted out by hand."""
    asks = (
        Ask("poll", "One question", "poll", effort=1, gives=2, collects=("taste",), max_shows=1),
        Ask("video", "A film", "video", effort=2, gives=4, max_shows=1),
        Ask("letter", "The newsletter", "signup", effort=3, gives=2),
        Ask("order", "Order", "purchase", effort=6, gives=4, max_shows=2),
    )
    taste = Feature("taste", "category", ("sweet", "sour"))
    return World(
        name="tiny",
        title="Tiny",
        catalog=replace(
            Catalog("tiny", "order", ("poll", "letter", "order"), asks, limits=limits, answers=(taste,)), **catalog
        ),
        types=(
            VisitorType("eager", 0.4, (0.2, 0.3, 0.3, 0.2, 0.0), readiness=0.7, affinity={"video": 1.0}),
            VisitorType("shy", 0.6, (0.7, 0.3, 0.0, 0.0, 0.0), patience=0.4, affinity={"poll": 0.8, "video": -1.0}),
        ),
        response=Response(
            appeal={"poll": 0.6, "video": 0.4, "letter": 0.3, "order": 1.5},
            comfort=(1.0, 2.0, 3.5, 5.0, 6.5),
            strain=0.7,
            fatigue=0.4,
            marks={"reachable": 0.5},
            decline=-0.2,
            decline_strain=0.2,
        ),
        dynamics=TINY_DYNAMICS,
        leaving=TINY_LEAVING,
        observation=Observation(
            hint="referrer",
            hints={"eager": "ad", "shy": "search"},
            signals={},
            answers={"taste": {"eager": {"sweet": 1.0}, "shy": {"sweet": 0.5, "sour": 0.5}}},
        ),
        marks={"reachable": ("letter",)},
    )


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_written_as_json_and_read_back_is_equal(name):
    original = world(name)
    again = World.from_json(json.loads(json.dumps(original.to_json())))
    assert again == original
    assert hash(again) == hash(original)


def test_worlds_that_differ_in_one_number_are_not_equal():
    original = tiny()
    assert replace(original, timing=Timing(visitors_per_day=3.0)) != original
    assert replace(original) == original


@pytest.mark.parametrize("name", WORLDS)
def test_the_baseline_of_a_world_can_convert(name):
    assert walk_baseline(world(name).catalog).is_converted


@pytest.mark.parametrize("name", WORLDS)
def test_the_truth_of_a_world_is_exact_under_its_catalog(name):
    assert exact_rules(world(name)).goal == world(name).catalog.position["purchase"]


def test_an_unknown_world_is_refused_by_name():
    with pytest.raises(BadInput, match=r"skincore.*allowed: skincare, no_effects"):
        world("skincore")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda w: {"types": w.types[:1]}, "shares must be at least 0 and sum to 1"),
        (lambda w: {"response": replace(w.response, comfort=(1.0,))}, "response.comfort"),
        (
            lambda w: {"response": replace(w.response, appeal={"pol": 1.0})},
            "response.appeal: unknown name; received 'pol'",
        ),
        (lambda w: {"leaving": replace(w.leaving, late_marks={"x": 1.0})}, "leaving.late_marks"),
        (lambda w: {"leaving": replace(w.leaving, max_steps=0)}, "max_steps"),
        (lambda w: {"observation": replace(w.observation, misreport=1.5)}, "observation.misreport: received 1.5"),
        (lambda w: {"observation": replace(w.observation, signals={"nod": SignalRate(0.0)})}, "observation.signals"),
        (lambda w: {"observation": replace(w.observation, hints={"shy": "ad"})}, "lacks the type eager"),
        (lambda w: {"timing": replace(w.timing, back_s=(2.0, 1.0))}, "timing.back_s"),
    ],
)
def test_a_world_that_cannot_be_played_is_refused_with_its_fault(change, fault):
    with pytest.raises(BadInput, match=r"world tiny: .*") as refused:
        replace(tiny(), **change(tiny()))
    assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        (("timing", "visitors_per_day"), "many", "World.timing.visitors_per_day: received 'many'; allowed: float"),
        (("timing", "think_s"), [1.0], r"World.timing.think_s: received \[1.0\]; allowed: a list"),
        (("leaving", "stays"), 1.0, "World.leaving: unknown field; received 'stays'"),
        (("response", "appeal"), 3, "World.response.appeal: received 3; allowed: a mapping"),
    ],
)
def test_a_document_that_is_no_world_is_refused_with_the_place(place, value, fault):
    document = tiny().to_json()
    document[place[0]][place[1]] = value
    with pytest.raises(BadInput, match=fault):
        World.from_json(document)


def test_probabilities_move_the_way_the_story_says():
    tables, position = tables_of(world("skincare")), world("skincare").catalog.position
    accept = tables.accept[0].reshape(4, 10, 5, 5)
    assert (accept[:, :, 1:, 0] > accept[:, :, :-1, 0]).all(), "trust makes every ask easier to accept"
    assert (accept[:, :, :, 1:] < accept[:, :, :, :-1]).all(), "fatigue makes every ask harder to accept"
    assert accept[0, position["routine_video"], 1, 0] > accept[1, position["routine_video"], 1, 0]
    assert (tables.trust_down[position["purchase"]] > tables.trust_down[position["skin_quiz"]]).all()
    assert (tables.back[1] > tables.back[0]).all(), "who can be reached comes back more often"
    assert (tables.signals[1, :, 1:] > tables.signals[1, :, :-1]).all(), "scrolling tells trust"


@pytest.mark.parametrize("name", WORLDS)
def test_every_transition_is_a_probability_distribution(name):
    tables = tables_of(world(name))
    assert tables.start.sum() == pytest.approx(1.0)
    for moves in (tables.after, tables.between, tables.until_left):
        assert moves.min() >= 0.0
        assert moves.sum(axis=-1) == pytest.approx(1.0)
