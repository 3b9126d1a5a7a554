import polars as pl
import pytest

from data.arrivals import arrange
from data.log.schema import COLUMNS
from tests.log_strategies import CATALOG, MINUTE, NOON, log_frame


def row(kind, minute, visitor="v", /, **fields):
    """A row of a log; times in minutes."""
    times = {"at": NOON + minute * MINUTE, "received_at": NOON + fields.pop("received", minute) * MINUTE}
    return {"type": kind, "visitor_id": visitor, **times, **fields}


def shown(minute, ask="quiz", visitor="v", /, **fields):
    return row("shown", minute, visitor, ask_id=ask, **fields)


def answer(kind, minute, ask="quiz", visitor="v", /, **fields):
    return row(kind, minute, visitor, ask_id=ask, **fields)


def arranged(*rows):
    log = log_frame(list(rows))
    arrivals = arrange(log, CATALOG)
    assert len(log) == len(arrivals.frame) + arrivals.n_duplicates + len(arrivals.set_aside)
    return arrivals


def ids(*rows):
    """By row in order of arrival: type and decision."""
    return arranged(*rows).frame.select("type", "decision_id").rows()


def test_rows_come_in_order_of_arrival():
    rows = [shown(5, received=9), answer("accepted", 1), row("left", 9), row("converted", 9), row("converted", 2)]
    frame = arranged(*rows).frame
    assert frame["type"].to_list() == ["accepted", "converted", "shown", "converted", "left"]
    assert frame["order"].to_list() == [0, 1, 2, 3, 4]
    assert frame["rank"].to_list() == [1, 4, 0, 4, 5]


def test_equal_rows_come_by_visitor_in_byte_order():
    assert arranged(*(row("left", 1, name) for name in ("é", "b", "Z", "a"))).visitors == ("Z", "a", "b", "é")


def test_an_explicit_decision_wins_over_the_latest_open_one():
    rows = [shown(1, decision_id="d1"), shown(2, decision_id="d2"), answer("accepted", 3, decision_id="d1")]
    assert ids(*rows)[2] == ("accepted", "d1")


def test_an_answer_without_decision_joins_the_latest_open_one_of_its_ask():
    rows = [shown(1, decision_id="d1"), shown(2, decision_id="d2"), shown(3, "save", decision_id="d3")]
    rows += [answer("declined", 4), answer("accepted", 5)]
    assert ids(*rows)[3:] == [("declined", "d2"), ("accepted", "d1")]


def test_an_ignored_decision_is_still_open():
    rows = [shown(1, decision_id="d1"), answer("ignored", 2), answer("accepted", 3)]
    assert ids(*rows) == [("shown", "d1"), ("ignored", "d1"), ("accepted", "d1")]


def test_a_decision_closed_by_an_explicit_answer_is_not_joined_again():
    rows = [shown(1, decision_id="d1"), answer("declined", 2, decision_id="d1"), answer("accepted", 3)]
    assert ids(*rows)[2] == ("accepted", None)


def test_a_decision_seen_before_the_answer_is_preferred_to_a_later_one():
    rows = [shown(1, decision_id="d1"), shown(6, decision_id="d2"), answer("accepted", 3, received=9)]
    assert ids(*rows)[2] == ("accepted", "d1")


def test_an_answer_given_before_all_decisions_that_arrived_joins_the_latest():
    rows = [shown(5, decision_id="d1"), shown(6, decision_id="d2"), answer("accepted", 3, received=9)]
    frame = arranged(*rows).frame
    assert frame["decision_id"].to_list() == ["d1", "d2", "d2"]
    assert frame["at"][2] == frame["at"][1]


def test_an_answer_that_arrives_before_its_decision_is_moved_behind_it():
    frame = arranged(shown(1, decision_id="d1", received=8), answer("accepted", 3), row("left", 5)).frame
    assert frame["type"].to_list() == ["left", "shown", "accepted"]
    assert frame["decision_id"].to_list() == [None, "d1", "d1"]
    assert frame["received_at"][2] == frame["received_at"][1]


def test_an_acceptance_before_its_ask_was_shown_at_all_is_unprompted():
    assert ids(answer("accepted", 1), shown(5, decision_id="d1")) == [("accepted", None), ("shown", "d1")]


@pytest.mark.parametrize("kind", ["declined", "ignored"])
def test_other_answers_to_nothing_are_set_aside(kind):
    arrivals = arranged(shown(1, "save"), answer(kind, 2), answer(kind, 3, decision_id="gone"))
    assert sorted(arrivals.set_aside["reason"]) == [
        "it answers decision gone, which is not in the log",
        "no open decision showed this ask to this visitor",
    ]
    assert arrivals.set_aside.columns == ["reason", *COLUMNS]


def test_an_acceptance_of_a_decision_out_of_sight_is_unprompted():
    assert ids(answer("accepted", 2, decision_id="gone")) == [("accepted", None)]


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        (shown(1, None, decision_id="d"), "it answers decision d, which asked nothing"),
        (shown(1, "save", decision_id="d"), "it answers decision d, which showed save, not quiz"),
        (shown(1, "quiz", "w", decision_id="d"), "it answers decision d, which is of another visitor"),
    ],
)
def test_answers_that_do_not_fit_their_decision_are_set_aside(decision, reason):
    arrivals = arranged(decision, answer("accepted", 2, decision_id="d"))
    assert arrivals.set_aside["reason"].to_list() == [reason]
    assert arrivals.set_aside["decision_id"].to_list() == ["d"]


def test_the_first_final_answer_counts_and_later_ones_are_duplicates():
    kinds = ["ignored", "ignored", "declined", "accepted", "ignored"]
    arrivals = arranged(shown(1, decision_id="d"), *(answer(k, 2 + i, decision_id="d") for i, k in enumerate(kinds)))
    assert arrivals.frame["type"].to_list() == ["shown", "ignored", "declined"]
    assert arrivals.n_duplicates == 3


def test_an_explicit_answer_happens_no_earlier_than_its_decision():
    frame = arranged(shown(5, decision_id="d"), answer("accepted", 3, decision_id="d")).frame
    assert frame["type"].to_list() == ["shown", "accepted"]
    assert frame["at"].n_unique() == frame["received_at"].n_unique() == 1


def test_one_event_id_is_one_event():
    arrivals = arranged(row("left", 1, event_id="e"), row("left", 2, event_id="e"), row("left", 3, event_id="f"))
    assert arrivals.frame["event_id"].to_list() == ["e", "f"]


def test_rows_without_event_id_repeat_rows_that_say_the_same():
    same = {"signal": "page_view", "value": 1.0}
    rows = [row("signal", 1, **same), row("signal", 1, **same), row("signal", 1, signal="scroll")]
    arrivals = arranged(*rows, row("signal", 1, **same, event_id="e1"), row("signal", 1, **same, event_id="e2"))
    kept = arrivals.frame.select("signal", "event_id").rows()
    assert kept == [("page_view", "e1"), ("page_view", "e2"), ("scroll", None)]


def test_decisions_of_one_moment_differ_by_their_id():
    arrivals = arranged(shown(1, decision_id="d1"), shown(1, decision_id="d2"), shown(1, decision_id="d2"))
    assert arrivals.frame["decision_id"].to_list() == ["d1", "d2"]


def test_merges_of_one_moment_differ_by_their_other_visitor():
    arrivals = arranged(row("merged", 1, "c", from_id="a"), row("merged", 1, "c", from_id="b"))
    assert arrivals.frame["from_id"].to_list() == ["a", "b"]


def test_which_of_two_duplicates_is_kept_does_not_depend_on_the_file():
    rows = [shown(1, decision_id="d", propensity=p) for p in (0.5, 0.25, None)]
    kept = {arranged(*order).frame["propensity"].item() for order in (rows, rows[::-1], rows[1:] + rows[:1])}
    assert len(kept) == 1


def test_an_id_of_another_decision_is_set_aside():
    arrivals = arranged(shown(1, decision_id="d"), shown(2, decision_id="d"))
    assert arrivals.set_aside["reason"].to_list() == ["decision_id is d; it names another decision already"]


def test_decisions_without_id_get_one_that_is_always_the_same():
    one, again = arranged(shown(1), shown(2), row("left", 3)), arranged(shown(2), shown(1))
    made = one.frame["decision_id"].to_list()
    assert made[:2] == again.frame["decision_id"].to_list()
    assert made[0] != made[1]
    assert made[2] is None


def test_a_merge_makes_one_owner_of_two_from_then_on():
    rows = [shown(1, "quiz", "a"), shown(2, "quiz", "b"), row("merged", 3, "b", from_id="a"), shown(4, "quiz", "a")]
    arrivals = arranged(*rows)
    assert arrivals.frame["owner"].to_list() == [0, 1, 1, 1]
    assert arrivals.frame["visitor_id"].to_list() == ["a", "b", "b", "a"]
    assert arrivals.merges == ((2, 1, 0),)
    assert arrivals.visitors == ("a", "b")


def test_merges_chain():
    rows = [
        row("merged", 2, "b", from_id="a"),
        row("merged", 4, "c", from_id="b"),
        *(row("left", m, "a") for m in (1, 3, 5)),
    ]
    arrivals = arranged(*rows)
    owners = [arrivals.visitors[owner] for owner in arrivals.frame["owner"]]
    assert owners == ["a", "b", "b", "c", "c"]


def test_a_merge_into_a_visitor_that_became_another_goes_to_that_one():
    rows = [row("merged", 1, "b", from_id="a"), row("merged", 2, "a", from_id="c"), row("left", 3, "c")]
    arrivals = arranged(*rows)
    assert arrivals.visitors[arrivals.frame["owner"][2]] == "b"


def test_merging_what_is_one_already_is_set_aside():
    rows = [row("merged", 1, "b", from_id="a"), row("merged", 2, "a", from_id="b"), row("merged", 3, "b", from_id="a")]
    arrivals = arranged(*rows)
    assert arrivals.set_aside["reason"].to_list() == ["these visitors were one already"] * 2
    assert len(arrivals.merges) == 1


def test_answers_find_decisions_of_the_visitor_they_became():
    before = [shown(1, "quiz", "a", decision_id="d"), answer("accepted", 2, "quiz", "b")]
    after = [shown(1, "quiz", "a", decision_id="d"), answer("accepted", 4, "quiz", "b")]
    merge = row("merged", 3, "b", from_id="a")
    assert ids(*before, merge)[1] == ("accepted", None)
    assert ids(*after, merge)[2] == ("accepted", "d")


def test_an_explicit_answer_may_come_from_whom_the_visitor_became():
    rows = [shown(1, "quiz", "a", decision_id="d"), answer("accepted", 2, "quiz", "b", decision_id="d")]
    assert ids(*rows, row("merged", 3, "b", from_id="a"))[1] == ("accepted", "d")


@pytest.mark.parametrize(
    ("rows", "repeats"),
    [
        ([row("converted", 1), row("converted", 2)], [False, False]),
        ([row("converted", 1, order_id="o"), row("converted", 500, order_id="o")], [False, True]),
        ([answer("accepted", 1, "buy"), row("converted", 60)], [False, True]),
        ([answer("accepted", 1, "buy"), row("converted", 61)], [False, False]),
        ([answer("accepted", 1, "buy"), shown(2), row("converted", 3)], [False, False, False]),
        ([answer("accepted", 1, "buy"), shown(2, None), row("converted", 3)], [False, False, True]),
        ([answer("accepted", 1, "quiz"), row("converted", 3)], [False, False]),
        ([row("converted", 1), answer("accepted", 2, "buy"), row("converted", 3)], [False, True, True]),
    ],
)
def test_a_conversion_that_is_known_is_a_repeat(rows, repeats):
    assert arranged(*rows).frame["is_repeat"].to_list() == repeats


def test_a_merge_brings_what_the_other_visitor_is_known_for():
    rows = [row("converted", 1, "a", order_id="o"), row("converted", 2, "b", order_id="o")]
    rows += [row("merged", 3, "b", from_id="a"), row("converted", 4, "a", order_id="o")]
    assert arranged(*rows).frame["is_repeat"].to_list() == [False, False, False, True]


def test_items_come_with_their_order():
    arrivals = arranged(shown(1), answer("accepted", 2))
    (first, decision), (second, event) = arrivals.items()
    assert (first, second) == (0, 1)
    assert event.decision_id == decision.decision_id
    assert event.is_prompted


def test_a_log_without_rows_is_arranged_too():
    arrivals = arranged()
    assert arrivals.frame.is_empty()
    assert {"order", "rank", "owner", "is_repeat"} <= set(arrivals.frame.columns)
    assert arrivals.frame.schema["owner"] == pl.Int64
