"""What is said of single fields: where, what, the value received, what is allowed."""

import datetime

import pytest

from tests.data.catalog_files import TEXT, changed, faults_of, only_fault, tree, without

WRONG = [
    # path, value, words of the problem, words of what is allowed
    ("format", 2, "format that this version does not read", "1"),
    ("format", "1", "format that this version does not read", "1"),
    ("format", True, "format that this version does not read", "1"),
    ("journey", "Skin Care", "is no name", "a-z 0-9 _ -"),
    ("journey", "a" * 65, "is no name", "1 to 64"),
    ("journey", "", "is no name", "1 to 64"),
    ("journey", "skincare\n", "is no name", "1 to 64"),
    ("title", True, "is read as yes or no", "put it in quotes"),
    ("title", 2026, "is read as a number", "put it in quotes"),
    ("title", datetime.date(2026, 1, 1), "is read as a date", "put it in quotes"),
    ("title", "  ", "is empty", "text"),
    ("title", "a" * 2_001, "is too long", "2,000 characters"),
    ("title", "a\x07b", "control characters", "text"),
    ("title", ["a"], "is not text", "text"),
    ("conversion_window", "0s", "is too short", "from 1s"),
    ("conversion_window", "9999d", "is too long", "3650d"),
    ("conversion_window", "one week", "is not a duration", "90s 15m 6h 7d"),
    ("conversion_window", "1.5h", "is not a duration", "90s 15m 6h 7d"),
    ("conversion_window", 7, "is not a duration", "90s 15m 6h 7d"),
    ("session_gap", "0m", "is too short", "from 1s"),
    ("reuse_open", 0, "is not a duration", "90s 15m 6h 7d"),
    ("reuse_open", False, "is not a duration", "90s 15m 6h 7d"),
    ("allow_nothing", "yes", "neither true nor false", "true or false"),
    ("allow_nothing", 1, "neither true nor false", "true or false"),
    ("reward", "money", "is unknown", "conversion, value"),
    ("settles", "lefft", "did you mean left?", "window, left"),
    ("exploration.day_zero", 1.2, "is too large", "from 0 to 1"),
    ("exploration.floor", -0.1, "is too small", "from 0 to 1"),
    ("exploration.loss", "5%", "is not a number", "from 0 to 1"),
    ("exploration.loss", float("nan"), "is not a number", "from 0 to 1"),
    ("exploration.loss", True, "is not a number", "from 0 to 1"),
    ("signals", ["page view"], "is no name", "a-z 0-9 _ -"),
    ("signals", "page_view", "is not a list", "[page_view]"),
    ("signals", ["a", "a"], "names a twice", "once"),
    ("signals", [f"s{i}" for i in range(65)], "too many entries: 65", "at most 64"),
    ("limits.max_asks_per_day", 501, "is too large", "from 1 to 500"),
    ("limits.max_asks_per_session", 0, "is too small", "from 1 to"),
    ("limits.max_asks_per_session", 2.5, "is not a whole number", "from 1 to"),
    ("limits.stop_after_declines", "3", "is not a whole number", "from 1 to"),
    ("limits.max_effort_step", 11, "is too large", "from 0 to 10"),
    ("limits.max_effort_gap", -11, "is too small", "from -10 to 10"),
    ("limits.min_gap", 90, "is not a duration", "90s 15m 6h 7d"),
    ("limits.direct_ask", "no", "neither true nor false", "true or false"),
    ("context.device.values", ["desktop", False], "is read as yes or no", "put it in quotes"),
    ("context.referrer.values", [], "is an empty list", "at least one"),
    ("context.referrer.values", ["a", "a"], "names a twice", "once"),
    ("context.referrer.type", "text", "is unknown", "category, number, boolean"),
    ("context.basket.min", float("-inf"), "is not a number", "a number from"),
    ("context.basket.max", 10**400, "is too large", "a number from"),
    ("answers.skin_type.values", ["a" * 257], "is too long", "256 bytes"),
    ("answers.skin_type.values", ["é" * 129], "is too long", "256 bytes"),
    ("asks.0.kind", "quizz", "did you mean quiz?", "small_purchase"),
    ("asks.0.effort", 10.5, "is too large", "from 0 to 10"),
    ("asks.0.effort", "two", "is not a number", "from 0 to 10"),
    ("asks.0.gives", -1, "is too small", "from 0 to 10"),
    ("asks.0.stage", "Decision", "did you mean decision?", "awareness, consideration, decision"),
    ("asks.0.channels", ["web", "sms"], "is unknown", "web, email, social, chat, voice, app"),
    ("asks.0.channels", [], "is an empty list", "at least one"),
    ("asks.0.requires", ["purchase", "purchase"], "names purchase twice", "once"),
    ("asks.0.cost", -2, "is too small", "from 0"),
    ("asks.0.sensitive", "no", "neither true nor false", "true or false"),
    ("asks.0.repeatable", "daily", "neither true, false nor a duration", "1"),
    ("asks.0.repeatable", 1, "neither true, false nor a duration", "1"),
    ("asks.0.max_shows", 0, "is too small", "from 1"),
    ("asks.0.after_decline", "-1d", "is not a duration", "90s 15m 6h 7d"),
    ("asks.0.consent", "a\nb", "control characters", "text on one line"),
    ("asks.0.active.from", "2026-02-30", "is no date", "2026-11-21"),
    ("asks.0.active.from", 20_260_101, "is no date", "2026-11-21"),
    ("asks.0.active.until", "1969-12-31", "is out of range", "from 1970 on"),
    ("asks.0.payload", ["a"], "has no fields", "fields"),
    ("asks.0.payload", {"a": datetime.date(2026, 1, 1)}, "the date 2026-01-01", "64 bits"),
    ("asks.0.payload", {"a": [float("inf")]}, "inf, which is no number", "64 bits"),
    ("asks.0.payload", {"a": 2**64}, "more than 64 bits", "64 bits"),
    ("asks.0.payload", {"a": "b" * 20_000}, "is too large: 20,009 bytes", "16,384 bytes"),
]


@pytest.mark.parametrize(
    ("path", "value", "problem", "allowed"), WRONG, ids=[f"{row[0]}={row[1]!r:.20}" for row in WRONG]
)
def test_a_wrong_value_is_told_with_its_place_and_what_is_allowed(path, value, problem, allowed):
    fault = only_fault(changed(path, value))
    place = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split(".")).lstrip(".")
    assert fault.file == "skincare.yaml"
    assert fault.path.startswith(place)
    assert fault.path.removeprefix(place) in ("", "[0]", "[1]")
    assert problem in fault.problem
    assert allowed in fault.allowed
    assert fault.received


@pytest.mark.parametrize("name", ["format", "journey", "goal", "baseline", "asks"])
def test_a_missing_field_of_the_catalog_is_told(name):
    faults = {fault.path: fault for fault in faults_of(without(name))}
    assert "is missing" in faults[name].problem
    assert faults[name].allowed


@pytest.mark.parametrize("name", ["id", "title", "kind", "effort"])
def test_a_missing_field_of_an_ask_is_told(name):
    faults = {fault.path: fault for fault in faults_of(without(f"asks.1.{name}"))}
    assert "is missing" in faults[f"asks[1].{name}"].problem
    assert faults[f"asks[1].{name}"].allowed


@pytest.mark.parametrize(
    ("path", "place", "hint"),
    [
        ("sesion_gap", "sesion_gap", "did you mean session_gap?"),
        ("max_effort_step", "max_effort_step", "it belongs under limits"),
        ("limits.max_shows", "limits.max_shows", "it belongs under asks"),
        ("limits.goal", "limits.goal", "it belongs at the top"),
        ("asks.1.efort", "asks[1].efort", "did you mean effort?"),
        ("asks.1.active.untill", "asks[1].active.untill", "did you mean until?"),
        ("context.basket.minimum", "context.basket.minimum", "did you mean min?"),
        ("exploration.zzz", "exploration.zzz", "is an unknown field"),
    ],
)
def test_an_unknown_field_is_told_with_the_one_that_was_probably_meant(path, place, hint):
    fault = only_fault(changed(path, 1))
    assert fault.path == place
    assert hint in fault.problem
    assert fault.allowed


@pytest.mark.parametrize("path", ["limits", "exploration", "context", "asks.1", "asks.1.active", "context.basket"])
def test_a_plain_value_where_fields_are_needed_is_told(path):
    place = path.replace(".1", "[1]")
    fault = {fault.path: fault for fault in faults_of(changed(path, "much"))}[place]
    assert "has no fields" in fault.problem
    assert fault.received == "'much'"


def test_a_wrong_id_is_told():
    faults = {fault.path: fault for fault in faults_of(changed("asks.0.id", "Skin quiz"))}
    assert "is no name" in faults["asks[0].id"].problem


def test_asks_by_name_instead_of_in_a_list_are_told():
    fault = faults_of(changed("asks", {"skin_quiz": {"effort": 2}}))[0]
    assert (fault.path, fault.received) == ("asks", "fields ('skin_quiz')")
    assert "is not a list" in fault.problem


def test_a_catalog_without_asks_is_told():
    assert "is an empty list" in {fault.path: fault.problem for fault in faults_of(changed("asks", []))}["asks"]


def test_more_than_a_thousand_asks_are_told():
    many = [{**tree()["asks"][0], "id": f"ask-{i}"} for i in range(998)] + tree()["asks"]
    assert "too many entries: 1,001" in only_fault(changed("asks", many)).problem


def test_every_fault_is_in_one_report_in_the_order_of_the_file():
    text = changed("asks.0.effort", 12).replace("gives: 5", "gives: 50").replace("goal: purchase", "goal: purchse")
    paths = [fault.path for fault in faults_of(text)]
    assert paths == ["goal", "baseline", "asks[0].effort", "asks[2].gives"]


def test_a_fault_says_its_line():
    assert only_fault(TEXT.replace("effort: 8", "effort: 80")).problem == "is too large (line 16)"


def test_fields_left_empty_count_as_left_out():
    text = changed("limits", None)
    assert faults_of(text + "signals:\nholdout:\nexploration:\ntitle:\n") == ()


def test_a_required_field_left_empty_is_missing():
    assert "is missing" in only_fault(changed("asks.0.effort", None)).problem
