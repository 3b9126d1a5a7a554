"""Which baselines can convert, why not, and how long it takes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalog import walk_baseline
from data.catalog.reachability import dead_ends, delays
from data.domain import Ask, Catalog, Limits

HOUR = 3_600
DAY = 24 * HOUR


def ladder(*efforts, window=7 * DAY, gap=HOUR, **limits):
    """Asks of these efforts, all in the baseline; the last one is the goal."""
    asks = tuple(Ask(f"a{i}", "Ask", "click", effort) for i, effort in enumerate(efforts))
    names = tuple(ask.id for ask in asks)
    return Catalog("j", names[-1], names, asks, conversion_window_s=window, session_gap_s=gap, limits=Limits(**limits))


def with_ask(catalog, ask_id, **fields):
    """The catalog with an ask changed."""
    asks = tuple(replace(ask, **fields) if ask.id == ask_id else ask for ask in catalog.asks)
    return replace(catalog, asks=asks)


def what(catalog):
    """Place, value and allowance of each obstacle."""
    return [(finding.path, finding.received, finding.allowed) for finding in dead_ends(catalog)]


def test_without_limits_every_baseline_converts():
    assert dead_ends(ladder(9, 1, 10)) == []


def test_a_step_too_high_is_told_with_efforts_and_limit():
    assert what(ladder(2, 8, max_effort_step=4)) == [
        (
            ("baseline", 1),
            "effort 8, highest accepted effort 2",
            "an effort of at most 6, as limits.max_effort_step is 4",
        )
    ]


def test_a_first_step_too_high_is_told():
    (finding,) = dead_ends(ladder(5, max_effort_step=4))
    assert finding.received == "effort 5, highest accepted effort 0"
    assert "a0 is not possible at the start" in finding.problem


def test_every_ask_that_is_stuck_is_told():
    assert [place for place, _, _ in what(ladder(1, 6, 7, max_effort_step=4))] == [("baseline", 1), ("baseline", 2)]


def test_a_later_ask_may_help_an_earlier_one_over_the_step():
    walk = walk_baseline(ladder(6, 3, 8, max_effort_step=3))
    assert [step.ask_id for step in walk.steps] == ["a1", "a0", "a2"]


def test_rounding_does_not_make_a_step_too_high():
    assert dead_ends(ladder(0.1, 0.3, max_effort_step=0.2)) == []


def test_the_direct_ask_may_skip_the_step():
    assert dead_ends(ladder(1, 10, max_effort_step=1, direct_ask=True)) == []


def test_the_direct_ask_may_not_skip_the_effort_gap():
    assert what(ladder(1, 10, max_effort_gap=3, direct_ask=True)) == [
        (("baseline", 1), "effort 10, gives 0", "an effort of at most 3, as limits.max_effort_gap is 3")
    ]


def test_what_an_ask_gives_counts_for_the_gap():
    assert dead_ends(with_ask(ladder(1, 10, max_effort_gap=3), "a1", gives=7)) == []


def test_a_requirement_outside_the_baseline_is_told():
    catalog = replace(with_ask(ladder(1, 2, 3), "a2", requires=("a1",)), baseline=("a0", "a2"))
    assert what(catalog)[0][:2] == (("baseline", 1), "requires [a1]")


def test_a_requirement_later_in_the_baseline_is_reached_first():
    walk = walk_baseline(with_ask(ladder(1, 2, 3), "a0", requires=("a1",)))
    assert [step.ask_id for step in walk.steps] == ["a1", "a0", "a2"]


def test_an_accepted_ask_that_rules_out_the_goal_is_told():
    assert what(with_ask(ladder(1, 2, 3), "a2", excludes=("a0",)))[0][:2] == (("baseline", 2), "excludes [a0]")


def test_an_ask_that_rules_out_itself_can_be_asked_once():
    assert dead_ends(with_ask(ladder(1, 2), "a1", excludes=("a1",))) == []


def test_context_consent_and_dates_are_left_aside():
    hard = {"devices": ("mobile",), "consent": "mail", "active_until": 1, "channels": ("voice",), "max_shows": 1}
    assert dead_ends(with_ask(ladder(1, 2), "a1", **hard)) == []


def test_limits_on_declines_are_left_aside():
    limits = {"stop_after_declines": 1, "step_down_after_decline": True, "cooldown_after_decline_s": 9 * DAY}
    assert dead_ends(ladder(1, 2, 3, **limits)) == []


def test_a_session_too_short_for_the_ladder_is_a_delay_only():
    catalog = ladder(1, 2, 3, 4, 5, max_asks_per_session=2)
    (finding,) = delays(catalog)
    assert dead_ends(catalog) == []
    assert finding.path == ("limits", "max_asks_per_session")
    assert finding.received == "2"
    assert "a2, ask 3 of 5, waits for it; it takes 3 visits and 2 hours at least" in finding.problem


def test_a_session_long_enough_is_no_delay():
    assert delays(ladder(1, 2, 3, max_asks_per_session=3, max_asks_per_day=3, min_gap_s=60)) == []


def test_a_window_too_short_for_the_sessions_is_told():
    catalog = ladder(1, 2, 3, 4, 5, max_asks_per_session=2, window=2 * HOUR)
    (finding,) = dead_ends(catalog)
    assert (finding.path, finding.received) == (("limits", "max_asks_per_session"), "2")
    assert "a4, ask 5 of the baseline, can come 2 hours after the first ask" in finding.problem
    assert "within 2h" in finding.allowed


def test_the_end_of_the_window_is_outside_of_it():
    assert walk_baseline(ladder(1, 2, min_gap_s=HOUR, window=HOUR)).is_converted is False
    assert walk_baseline(ladder(1, 2, min_gap_s=HOUR, window=HOUR + 1)).is_converted is True


@pytest.mark.parametrize(
    ("limits", "times"),
    [
        ({"min_gap_s": 60}, [0, 60, 120, 180, 240]),
        ({"max_asks_per_session": 2}, [0, 0, HOUR, HOUR, 2 * HOUR]),
        ({"max_asks_per_day": 2}, [0, 0, DAY, DAY, 2 * DAY]),
        ({"max_asks_per_day": 2, "min_gap_s": 60}, [0, 60, DAY, DAY + 60, 2 * DAY]),
        ({"max_asks_per_session": 2, "min_gap_s": 2 * HOUR}, [0, 2 * HOUR, 4 * HOUR, 6 * HOUR, 8 * HOUR]),
        ({"max_asks_per_session": 1, "max_asks_per_day": 3}, [0, HOUR, 2 * HOUR, DAY, DAY + HOUR]),
    ],
)
def test_each_ask_comes_as_early_as_the_limits_let_it(limits, times):
    assert [step.at_s for step in walk_baseline(ladder(1, 2, 3, 4, 5, **limits)).steps] == times


def test_a_thousand_asks_in_the_worst_order_are_quick():
    catalog = ladder(*range(999, -1, -1), 1000, max_effort_step=1)
    assert len(walk_baseline(catalog).steps) == 1_001


@st.composite
def ladders(draw):
    """Small catalogs in whole hours whose asks depend on each other."""
    efforts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    optional = st.none() | st.integers(1, 3)
    catalog = ladder(
        *efforts,
        window=draw(st.integers(1, 60)) * HOUR,
        gap=draw(st.integers(1, 5)) * HOUR,
        max_asks_per_session=draw(optional),
        max_asks_per_day=draw(optional),
        min_gap_s=draw(st.none() | st.integers(0, 7).map(lambda hours: hours * HOUR)),
        max_effort_step=draw(optional),
        max_effort_gap=draw(st.none() | st.integers(3, 4)),
    )
    names = catalog.baseline
    for name in names:
        fields = {
            "requires": tuple(draw(st.lists(st.sampled_from(names), max_size=1))),
            "excludes": tuple(draw(st.lists(st.sampled_from(names), max_size=1))),
            "repeat_after_s": draw(st.sampled_from([None, None, 0, 2 * HOUR])),
        }
        catalog = with_ask(catalog, name, **fields) if draw(st.booleans()) else catalog
    return catalog


def converted_hour(catalog):
    """The contract's words, hour by hour: the hour of the goal's acceptance, ``None`` where it never comes."""
    limits = catalog.limits
    shows = []  # (hour, ask), everything shown is accepted
    n_session = 0
    for hour in range(catalog.conversion_window_s // HOUR):
        if shows and hour - shows[-1][0] >= catalog.session_gap_s // HOUR:
            n_session = 0
        for _ in range(len(catalog.asks)):
            n_day = sum(at > hour - 24 for at, _ in shows)
            is_full = n_session >= (limits.max_asks_per_session or 99) or n_day >= (limits.max_asks_per_day or 99)
            if is_full or (shows and hour - shows[-1][0] < (limits.min_gap_s or 0) // HOUR):
                break
            eligible = [name for name in catalog.baseline if is_eligible(catalog.ask(name), catalog, shows, hour)]
            shown = {ask.id for _, ask in shows}
            name = next((name for name in eligible if name not in shown), eligible[0] if eligible else None)
            if name is None:
                break
            if name == catalog.goal:
                return hour
            shows.append((hour, catalog.ask(name)))
            n_session += 1
    return None


def is_eligible(ask, catalog, shows, hour):
    """Rules about one ask."""
    accepted = {shown.id: at for at, shown in shows}
    highest = max((shown.effort for _, shown in shows), default=0)
    limits = catalog.limits
    if ask.id in accepted and (ask.repeat_after_s is None or hour - accepted[ask.id] < ask.repeat_after_s // HOUR):
        return False
    return (
        all(name in accepted for name in ask.requires)
        and not any(name in accepted for name in ask.excludes)
        and ask.effort <= highest + (99 if limits.max_effort_step is None else limits.max_effort_step)
        and ask.effort - ask.gives <= (99 if limits.max_effort_gap is None else limits.max_effort_gap)
    )


@settings(max_examples=300, deadline=None)
@given(ladders())
def test_the_walk_agrees_with_living_through_every_hour(catalog):
    walk = walk_baseline(catalog)
    hour = walk.steps[-1].at_s // HOUR if walk.is_converted else None
    assert hour == converted_hour(catalog)
    assert walk.is_converted == (dead_ends(catalog) == [])
