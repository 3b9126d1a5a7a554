"""The simulator's copy of the guardrails, rule by rule."""

from dataclasses import replace

import pytest

from data.domain import Limits
from data.simulator.choices import free_choice, in_order, positions
from data.simulator.rules import NOTHING, Rules
from tests.data.test_simulator_worlds import tiny

POLL, VIDEO, LETTER, ORDER = range(4)


def rules(limits=Limits(), **changes):  # noqa: B008 - frozen
    return Rules(replace(tiny().catalog, limits=limits, **changes))


def after(some, *answered):
    memory = some.start()
    for ask, answer in answered:
        memory = some.next_visit(memory) if answer == "next visit" else some.after(memory, ask, answer)
    return some.eligible(memory)


def asks_with(index, **changes):
    asks = tiny().catalog.asks
    return (*asks[:index], replace(asks[index], **changes), *asks[index + 1 :])


def test_without_limits_everything_may_be_asked():
    assert after(rules()) == (POLL, VIDEO, LETTER, ORDER)


def test_an_accepted_ask_is_not_asked_again_and_one_without_limit_until_then():
    assert LETTER not in after(rules(), (LETTER, "accepted"))
    assert LETTER in after(rules(), *[(LETTER, "declined")] * 20)


def test_max_shows_counts_every_show_in_all_visits():
    assert ORDER in after(rules(), (ORDER, "ignored"))
    assert ORDER not in after(rules(), (ORDER, "ignored"), (0, "next visit"), (ORDER, "declined"))


def test_requires_and_excludes_look_at_acceptances():
    needy = rules(asks=asks_with(ORDER, requires=("letter",), excludes=("video",)))
    assert ORDER not in after(needy)
    assert ORDER not in after(needy, (LETTER, "declined"))
    assert ORDER in after(needy, (LETTER, "accepted"), (VIDEO, "declined"))
    assert ORDER not in after(needy, (LETTER, "accepted"), (VIDEO, "accepted"))


def test_progression_allows_a_step_beyond_the_highest_accepted_effort():
    stepping = rules(Limits(max_effort_step=2))
    assert after(stepping) == (POLL, VIDEO)
    assert after(stepping, (POLL, "accepted")) == (VIDEO, LETTER)
    assert after(stepping, (VIDEO, "declined")) == (POLL,)


def test_after_a_decline_the_next_effort_is_lower_until_an_acceptance_or_the_next_visit():
    down = rules(Limits(step_down_after_decline=True))
    assert after(down, (LETTER, "declined")) == (POLL, VIDEO)
    assert after(down, (LETTER, "declined"), (VIDEO, "ignored")) == (POLL,)
    assert after(down, (LETTER, "declined"), (VIDEO, "accepted")) == (POLL, LETTER, ORDER)
    assert after(down, (LETTER, "declined"), (0, "next visit")) == (POLL, VIDEO, LETTER, ORDER)


def test_declines_in_a_row_stop_the_visit_and_silence_does_not_break_the_row():
    stopping = rules(Limits(stop_after_declines=2))
    assert after(stopping, (POLL, "declined"), (VIDEO, "accepted"), (LETTER, "declined"))
    assert not after(stopping, (POLL, "declined"), (VIDEO, "ignored"), (LETTER, "declined"))
    assert after(stopping, (POLL, "declined"), (LETTER, "declined"), (0, "next visit"))


def test_a_session_cap_counts_shows_of_one_visit():
    capped = rules(Limits(max_asks_per_session=2))
    assert not after(capped, (POLL, "ignored"), (VIDEO, "accepted"))
    assert after(capped, (POLL, "ignored"), (VIDEO, "accepted"), (0, "next visit")) == (LETTER, ORDER)


def test_an_ask_that_takes_too_much_for_what_it_gives_is_never_asked():
    assert after(rules(Limits(max_effort_gap=1))) == (POLL, VIDEO, LETTER)


def test_a_direct_ask_skips_the_two_effort_rules_and_no_other():
    limits = Limits(max_effort_step=1, step_down_after_decline=True, max_asks_per_session=2, direct_ask=True)
    assert after(rules(limits)) == (POLL, ORDER)
    assert after(rules(limits), (POLL, "declined")) == (ORDER,)
    assert not after(rules(limits), (POLL, "declined"), (ORDER, "ignored"))


@pytest.mark.parametrize("answer", ["accepted", "declined", "ignored"])
def test_answers_after_the_visit_is_over_change_nothing(answer):
    capped = rules(Limits(max_asks_per_session=1))
    over = capped.after(capped.start(), POLL, "ignored")
    assert capped.after(over, VIDEO, answer) == over


def test_a_baseline_shows_new_asks_first_then_old_ones_then_nothing():
    some = rules(Limits(max_effort_step=3))
    choose = in_order(some, positions(tiny().catalog, ("order", "letter", "poll")))
    memory = some.start()
    assert choose(memory) == [LETTER]
    memory = some.after(memory, LETTER, "declined")
    assert choose(memory) == [POLL]
    memory = some.after(memory, POLL, "declined")
    assert choose(memory) == [LETTER]
    memory = some.after(memory, LETTER, "accepted")
    assert choose(memory) == [ORDER]
    assert choose(some.after(some.after(memory, ORDER, "ignored"), ORDER, "ignored")) == [NOTHING]


def test_free_choice_has_nothing_only_where_it_is_allowed_or_alone():
    assert free_choice(rules())(rules().start()) == (POLL, VIDEO, LETTER, ORDER)
    allowed = rules(allow_nothing=True)
    assert free_choice(allowed)(allowed.start()) == (POLL, VIDEO, LETTER, ORDER, NOTHING)
    capped = rules(Limits(max_asks_per_session=0))
    assert free_choice(capped)(capped.start()) == (NOTHING,)
