"""Random journeys of a few visitors, with late arrivals, merges, orders and null decisions."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.episode_logs import BY_VALUE, CATALOG, episodes_in, minute, row, shown, shuffled

VISITORS = st.sampled_from(["a", "b", "c"])
TIMES = st.integers(0, 300)
DELAYS = st.sampled_from([0, 0, 0, 1, 40, 200])
ASKS = st.sampled_from(["quiz", "save", "sample", "buy"])
ORDERS = st.sampled_from([None, "o", "p"])
VALUES = st.sampled_from([None, -1.5, 0.0, 3.0])


@st.composite
def moments(draw):
    """One row at a time of its own: equal times are told apart by their ids, which hypothesis does not vary here."""
    at, visitor, delay = draw(TIMES), draw(VISITORS), draw(DELAYS)
    arrival = {"received_at": at + delay}
    match draw(
        st.sampled_from(["shown"] * 4 + ["accepted", "declined", "converted", "left", "signal", "nothing", "merged"])
    ):
        case "shown":
            return shown(at, draw(ASKS), visitor, **arrival)
        case "nothing":
            return shown(at, None, visitor, eligible=draw(st.sampled_from([None, [None], ["quiz", None]])), **arrival)
        case "accepted" | "declined" as answer:
            fields = {"ask_id": draw(ASKS), "value": draw(VALUES), **arrival}
            return row(answer, at, visitor, order_id=draw(ORDERS) if answer == "accepted" else None, **fields)
        case "converted":
            return row("converted", at, visitor, order_id=draw(ORDERS), value=draw(VALUES), **arrival)
        case "merged":
            return row("merged", at, visitor, from_id={"a": "b", "b": "c", "c": "a"}[visitor], **arrival)
        case other:
            return row(other, at, visitor, signal="page_view" if other == "signal" else None, **arrival)


JOURNEYS = st.lists(
    moments(), max_size=25, unique_by=lambda fields: (fields["visitor_id"], fields["at"], fields["type"])
)


@given(JOURNEYS)
@settings(max_examples=30, deadline=None)
def test_every_step_is_in_exactly_one_episode_and_steps_are_ordered(rows):
    found = episodes_in(rows)
    frame = found.arrivals.frame
    n_decisions = frame.filter(pl.col("type") == "shown").height
    assert found.steps["order"].n_unique() == found.steps.height == n_decisions - found.n_forced_nulls
    assert set(found.steps["episode_id"]) == set(found.episodes["episode_id"]) == set(range(found.episodes.height))
    for _, steps in found.steps.group_by("episode_id", maintain_order=True):
        assert steps["step"].to_list() == list(range(steps.height))
        assert steps["seen_at"].is_sorted()
        assert steps["owner"].n_unique() == 1


@given(JOURNEYS)
@settings(max_examples=30, deadline=None)
def test_conversions_count_at_most_once_an_order_and_are_in_the_window(rows):
    found = episodes_in(rows)
    n_reports = found.arrivals.frame.filter(
        (pl.col("type") == "converted") | ((pl.col("type") == "accepted") & (pl.col("ask_id") == "buy"))
    ).height
    converted = found.episodes.filter("is_converted")
    assert converted.height + found.n_conversions_outside == found.n_conversions <= n_reports
    age = (
        found.episodes.select((pl.col("converted_at") - pl.col("started_at")).dt.total_seconds())
        .to_series()
        .drop_nulls()
    )
    assert age.is_between(0, CATALOG.conversion_window_s, closed="left").all()
    named = [fields for fields in rows if fields["type"] == "converted" and fields["order_id"] is not None]
    if len({fields["visitor_id"] for fields in rows}) == 1 and len(named) == n_reports:
        assert found.n_conversions == len({fields["order_id"] for fields in named})


@given(JOURNEYS)
@settings(max_examples=30, deadline=None)
def test_episodes_of_one_visitor_without_merges_follow_each_other(rows):
    found = episodes_in([fields for fields in rows if fields["type"] != "merged"])
    last = {}
    for visitor, started_at, ended_at in found.episodes.select("visitor_id", "started_at", "ended_at").iter_rows():
        assert visitor not in last or started_at >= last[visitor]
        last[visitor] = ended_at


@given(JOURNEYS, st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_in_the_file_changes_nothing(rows, seed):
    found, other = episodes_in(rows, BY_VALUE), episodes_in(shuffled(rows, seed), BY_VALUE)
    assert found.episodes.equals(other.episodes)
    assert found.steps.equals(other.steps)


@given(JOURNEYS, st.integers(0, 400))
@settings(max_examples=30, deadline=None)
def test_an_earlier_now_equals_a_log_that_ends_then(rows, now):
    known = [fields for fields in rows if fields["received_at"] <= minute(now)]
    cut, early = episodes_in(known, BY_VALUE, now=now), episodes_in(rows, BY_VALUE, now=now)
    assert early.episodes.drop("owner").equals(cut.episodes.drop("owner"))
    assert early.steps.drop("owner").equals(cut.steps.drop("owner"))
    assert early.n_after_now == early.arrivals.frame.height - cut.arrivals.frame.height


@given(JOURNEYS)
@settings(max_examples=30, deadline=None)
def test_rewards_by_conversion_are_one_or_zero(rows):
    found = episodes_in(rows).episodes
    assert found["reward"].to_list() == found["is_converted"].cast(pl.Float64).to_list()
