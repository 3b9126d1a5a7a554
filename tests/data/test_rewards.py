from dataclasses import replace

import pytest

from tests.episode_logs import BY_VALUE, CATALOG, accepted, row, shown, table_of

# In the catalog by hand a sample costs 0.5 and the goal costs 2 per acceptance.


def rewards_of(*rows, now=1_000):
    return table_of(rows, "reward", catalog=BY_VALUE, now=now)


@pytest.mark.parametrize(
    ("outcome", "reward"), [([], 0), ([row("converted", 5, value=70.0)], 1), ([row("left", 5)], 0)]
)
def test_a_conversion_is_worth_one_whatever_its_value(outcome, reward):
    assert table_of([shown(0, "quiz"), *outcome], "reward", catalog=CATALOG) == [reward]


def test_accepted_asks_earn_their_value_minus_their_cost():
    assert rewards_of(shown(0, "sample"), accepted(1, "sample", value=3.0)) == [2.5]


def test_an_acceptance_without_a_value_earns_nothing_and_still_costs():
    assert rewards_of(shown(0, "sample"), accepted(1, "sample")) == [-0.5]


def test_values_may_be_negative():
    assert rewards_of(shown(0, "quiz"), accepted(1, "quiz", value=-4.0), row("converted", 2, value=-1.5)) == [-5.5]


def test_asks_that_are_not_accepted_earn_and_cost_nothing():
    assert rewards_of(shown(0, "sample"), row("declined", 1, ask_id="sample", value=9.0), shown(2, "sample")) == [0]


def test_an_accepted_goal_is_the_conversion_and_counts_once():
    assert rewards_of(shown(0, "buy"), accepted(1, "buy", value=10.0)) == [8]


def test_an_accepted_goal_without_a_value_is_worth_one():
    assert rewards_of(shown(0, "buy"), accepted(1, "buy")) == [-1]


def test_a_reported_conversion_does_not_cost_what_an_acceptance_costs():
    assert rewards_of(shown(0, "quiz"), row("converted", 5)) == [1]


def test_the_last_value_of_an_order_wins_and_nulls_change_nothing():
    order = {"order_id": "o"}
    rows = [shown(0, "buy"), accepted(1, "buy", value=10.0, **order), row("converted", 2, value=7.0, **order)]
    assert rewards_of(*rows, row("converted", 3, **order)) == [5]


def test_a_refund_after_the_window_corrects_the_value():
    rows = [shown(0, "quiz"), row("converted", 1, value=10.0, order_id="o")]
    assert rewards_of(*rows, row("converted", 500, value=0.0, order_id="o")) == [0]


def test_everything_of_an_episode_adds_up():
    rows = [shown(0, "quiz"), accepted(1, "quiz", value=1.0), shown(2, "sample"), accepted(3, "sample", value=3.0)]
    assert rewards_of(*rows, shown(4, "buy"), accepted(5, "buy", value=20.0)) == [1 + 2.5 + 18]


def test_an_acceptance_after_the_window_earns_nothing_so_that_a_mature_reward_is_final():
    rows = [shown(0, "quiz"), shown(95, "sample"), accepted(100, "sample", value=3.0)]
    assert rewards_of(*rows) == [0]
    assert rewards_of(*rows[:-1], accepted(99, "sample", value=3.0)) == [2.5]


def test_a_late_acceptance_earns_for_the_episode_of_its_decision():
    rows = [shown(0, "sample"), row("left", 1), shown(2, "quiz"), accepted(50, "sample", value=3.0)]
    assert rewards_of(*rows) == [2.5, 0]


def test_an_unprompted_acceptance_earns_for_the_running_episode():
    assert rewards_of(shown(0, "quiz"), accepted(5, "sample", value=3.0)) == [2.5]


def test_an_unprompted_acceptance_outside_every_episode_earns_for_none():
    assert rewards_of(accepted(1, "sample", value=3.0), shown(5, "quiz"), accepted(105, "sample", value=3.0)) == [0]


def test_one_order_of_an_ask_is_paid_once():
    rows = [shown(0, "sample"), accepted(1, "sample", value=3.0, order_id="o")]
    assert rewards_of(*rows, accepted(2, "sample", value=4.0, order_id="o")) == [3.5]


def test_money_that_a_conversion_reports_is_not_also_paid_for_an_ask():
    rows = [shown(0, "sample"), accepted(1, "sample", value=3.0, order_id="o")]
    assert rewards_of(*rows, row("converted", 2, value=3.0, order_id="o")) == [3 - 0.5]


def test_two_orders_of_a_repeatable_ask_are_paid_twice():
    rows = [shown(0, "sample"), accepted(1, "sample", value=3.0, order_id="o")]
    rows += [shown(2, "sample"), accepted(3, "sample", value=3.0, order_id="p")]
    assert rewards_of(*rows) == [5]


def test_the_reward_of_a_young_episode_is_what_it_earned_so_far():
    assert rewards_of(shown(0, "sample"), accepted(1, "sample", value=3.0), now=10) == [2.5]


def test_a_journey_without_costs_adds_plain_values():
    free = replace(BY_VALUE, asks=tuple(replace(ask, cost=0.0) for ask in BY_VALUE.asks))
    rows = [shown(0, "sample"), accepted(1, "sample", value=3.0), shown(2, "buy"), accepted(3, "buy", value=4.0)]
    assert table_of(rows, "reward", catalog=free) == [7]
