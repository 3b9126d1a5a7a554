import io
import json

import pytest
from rich.console import Console

from data.errors import BadInput
from tests.episode_logs import CATALOG, accepted, declined, episodes_in, minute, row, shown
from training.funnel import funnel
from training.intervals import difference, wilson

# Four mature episodes: one begins with the goal and converts, one accepts two asks and converts, one accepts one ask
# and declines the next, one is left unanswered. One young episode has an open decision.
JOURNEYS = [
    *(shown(0, "buy", "a"), accepted(2, "buy", "a")),
    *(shown(0, "quiz", "b"), accepted(1, "quiz", "b"), shown(2, "buy", "b"), accepted(4, "buy", "b")),
    *(shown(0, "quiz", "c"), accepted(3, "quiz", "c"), shown(4, "save", "c"), declined(5, "save", "c")),
    shown(0, "quiz", "d"),
    shown(190, "quiz", "e"),
]


def counted(rows=JOURNEYS, catalog=CATALOG, now=200, by=None):
    return funnel(episodes_in(rows, catalog, now=now), catalog, by=by)


def printed(found, width=100, encoding="utf-8", **options):
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding=encoding), width=width, **options)
    found.render(console)
    console.file.flush()
    return raw.getvalue().decode(encoding)


def brief(answers):
    return (answers.shown, answers.accepted, answers.declined, answers.ignored, answers.pending)


# numbers


def test_asks_are_counted_in_the_order_of_the_catalog():
    asks = {ask.ask_id: brief(ask.answers) for ask in counted().asks}
    assert list(asks.items()) == [
        ("quiz", (4, 2, 0, 1, 1)),
        ("save", (1, 0, 1, 0, 0)),
        ("sample", (0, 0, 0, 0, 0)),
        ("buy", (2, 2, 0, 0, 0)),
    ]


def test_acceptance_leaves_open_decisions_out():
    assert counted().asks[0].answers.accept_rate == wilson(2, 3)


def test_an_ask_that_was_never_shown_has_no_rate_but_a_reason():
    rate = counted().asks[2].answers.accept_rate
    assert (rate.value, rate.reason) == (None, "never shown")


def test_steps_tell_who_went_on_converted_or_dropped_off():
    first, second = counted().steps
    assert brief(first.answers) == (5, 3, 0, 1, 1)
    assert (first.reached, first.went_on, first.converted, first.drop_off) == (4, 2, 1, wilson(1, 4))
    assert (second.reached, second.went_on, second.converted, second.drop_off) == (2, 0, 1, wilson(1, 2))


def test_conversion_counts_mature_episodes_only_and_reports_young_ones():
    found = counted([*JOURNEYS, row("converted", 195, "e")])
    assert (found.n_mature, found.n_young, found.n_young_converted) == (4, 1, 1)
    assert found.conversion == wilson(2, 4)


def test_velocity_is_the_time_from_the_first_decision_to_each_acceptance():
    first, second = counted().velocity
    assert (first.n_episodes, first.median_s.value) == (3, 120)
    assert (second.n_episodes, second.median_s.value) == (1, 240)


def test_velocity_has_an_interval_once_six_episodes_got_there():
    rows = [fields for i in range(6) for fields in (shown(0, "quiz", f"v{i}"), accepted(i + 1, "quiz", f"v{i}"))]
    median = counted(rows).velocity[0].median_s
    assert (median.value, median.low, median.high) == (210, 60, 360)


def test_depth_counts_accepted_asks_and_the_highest_effort():
    found = counted()
    assert [(row.level, row.n_episodes) for row in found.accepted] == [(0, 1), (1, 2), (2, 1)]
    assert [(row.level, row.n_episodes) for row in found.highest_effort] == [(0, 1), (2, 1), (8, 2)]
    assert found.mean_accepted == 1


def test_an_acceptance_after_the_window_has_no_depth():
    found = counted([shown(0, "quiz"), accepted(150, "quiz")])
    assert (found.velocity, found.mean_accepted, found.asks[0].answers.accepted) == ((), 0, 1)


def test_the_direct_ask_is_compared_with_the_sequence_and_called_not_causal():
    found = counted()
    assert (found.direct.converted, found.direct.n_mature) == (1, 1)
    assert (found.sequence.converted, found.sequence.n_mature) == (1, 3)
    assert found.direct_minus_sequence == difference((1, 1), (1, 3))
    plain = found.to_json()["direct_minus_sequence"]
    assert plain["is_causal"] is False
    assert "Not a causal comparison" in plain["note"]


def test_an_episode_begins_with_its_first_ask_not_with_nothing():
    found = counted([shown(0, None), shown(1, "buy"), shown(0, None, "w")], catalog=CATALOG)
    assert (found.direct.n_mature, found.sequence.n_mature, found.n_without_ask) == (1, 0, 1)


def test_nothing_asked_is_counted_apart():
    first = counted([shown(0, None), shown(1, "buy")]).steps[0]
    assert (first.nothing, first.answers.shown) == (1, 0)


def test_arms_are_told_apart_and_mixed_episodes_belong_to_none():
    policies = {"a": "champion:7", "b": "holdout:none", "c": "challenger:8", "d": "acme", "e": "baseline"}
    rows = [shown(0, "quiz", visitor, policy=policy) for visitor, policy in policies.items()]
    rows += [shown(1, "save", "e", policy="challenger:8"), shown(0, "quiz", "f", learn=False), row("converted", 2, "c")]
    arms = {arm.name: (arm.converted, arm.n_mature) for arm in counted(rows).arms}
    assert arms == {
        "acme": (0, 1),
        "challenger": (1, 1),
        "holdout:none": (0, 1),
        "main": (0, 1),
        "not learned from": (0, 1),
        "several arms": (0, 1),
    }


def test_champion_baseline_and_fallback_are_one_arm():
    rows = [
        shown(i, "quiz", policy=policy) for i, policy in enumerate(["baseline", "champion:1", "fallback", "champion:2"])
    ]
    assert [arm.name for arm in counted(rows).arms] == ["main"]


def test_a_log_that_does_not_know_its_policy_has_one_unknown_arm():
    assert [arm.name for arm in counted().arms] == ["unknown"]


def test_segments_follow_the_context_of_the_first_step():
    devices = [("a", 0, "mobile"), ("a", 1, "desktop"), ("b", 0, "desktop"), ("c", 0, None)]
    rows = [shown(at, "quiz", visitor, **{"context.device": device}) for visitor, at, device in devices]
    found = counted([*rows, row("converted", 5, "a")], by="device")
    segments = {
        segment.name: (segment.converted, segment.n_mature, segment.answers.shown) for segment in found.segments
    }
    assert segments == {"desktop": (0, 1, 1), "mobile": (1, 1, 2), "unknown": (0, 1, 1)}


def test_many_numbers_are_cut_into_quarters():
    rows = [shown(0, "quiz", f"v{i}", **{"context.basket": float(i)}) for i in range(100)]
    segments = counted(rows, by="context.basket").segments
    assert [segment.n_mature for segment in segments] == [26, 25, 24, 25]
    assert segments[0].name.startswith("1. 0 to ")


def test_rare_names_are_taken_together():
    rows = [shown(0, "quiz", f"v{i}", **{"context.page": f"p{i % 30}"}) for i in range(60)]
    segments = {segment.name: segment.n_mature for segment in counted(rows, by="page").segments}
    assert (len(segments), segments["other"], sum(segments.values())) == (20, 22, 60)


def test_an_unknown_segment_is_refused_with_what_is_allowed():
    with pytest.raises(BadInput, match=r"'devise'.*channel, context.device"):
        counted([shown(0, "quiz", **{"context.device": "mobile"})], by="devise")


def test_steps_after_the_twentieth_are_counted_together():
    found = counted([shown(i, "quiz") for i in range(25)])
    assert (len(found.steps), found.n_later_steps) == (20, 5)


def test_conversions_outside_every_episode_are_counted():
    found = counted([*JOURNEYS, row("converted", 150, "d")])
    assert (found.n_conversions, found.n_conversions_outside) == (3, 1)


# empty cases


@pytest.mark.parametrize(
    "rows", [[], [shown(190, "quiz")], [shown(0, "quiz")], [shown(0, None)], [row("converted", 1)]]
)
def test_small_logs_have_reasons_instead_of_nan(rows):
    plain = counted(rows).to_json()
    text = json.dumps(plain, allow_nan=False)
    for found in _numbers(plain):
        assert (found["value"] is not None and found["low"] is not None) or found["reason"]
    assert json.loads(text) == plain


def _numbers(plain):
    children = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else []
    if isinstance(plain, dict) and "low" in plain:
        yield plain
    for child in children:
        yield from _numbers(child)


def test_an_empty_log_says_so():
    assert "no episode" in printed(counted([]))


def test_young_episodes_alone_have_no_conversion_rate():
    found = counted([shown(190, "quiz")])
    assert found.conversion.reason == "no episode is old enough yet"
    assert "none: no episode is old enough yet" in printed(found)


def test_every_number_of_a_whole_funnel_is_finite_json():
    rows = [{**fields, "context.device": "mobile"} for fields in JOURNEYS]
    plain = counted(rows, by="device").to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["conversion"] == wilson(2, 4).to_json()
    assert plain["now"] == minute(200).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# rendering


def test_the_page_names_the_numbers_in_plain_words():
    page = printed(counted())
    for words in (
        "5 episodes of 5 visitors: 4 mature, 1 young",
        "50.0 % (15.0 to 85.0)",
        "Direct ask against sequence",
    ):
        assert words in page
    assert "Not a causal comparison" in page.replace("\n", " ")


def test_off_a_terminal_there_are_no_color_codes():
    assert "\x1b" not in printed(counted())


@pytest.mark.parametrize("width", [40, 80])
def test_an_ascii_terminal_of_any_width_gets_ascii_whatever_the_names_are(width):
    cities = {"v": "Zürich 日本", "w": "a" * 200}
    rows = [shown(0, "quiz", visitor, **{"context.city": city}) for visitor, city in cities.items()]
    page = printed(counted(rows, by="city"), width=width, encoding="ascii")
    assert all(len(line) <= width for line in page.splitlines())
    assert page.count("a") >= 200


def test_letters_that_the_terminal_lacks_become_question_marks():
    page = printed(counted([shown(0, "quiz", **{"context.city": "Zürich"})], by="city"), encoding="ascii")
    assert "Z?rich" in page


def test_names_cannot_smuggle_terminal_codes_or_markup():
    rows = [shown(0, "quiz", **{"context.city": "\x1b[31m[bold]x[/bold]"})]
    page = printed(counted(rows, by="city"), force_terminal=True, color_system=None)
    assert "\x1b[31m" not in page
    assert "[bold]x[/bold]" in page
