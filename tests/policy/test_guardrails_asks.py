"""The guardrails that look at one ask: what the visitor did with it, and what the request says."""

from __future__ import annotations

import pytest

from data.domain import AudienceRule, Feature
from policy.guardrails.known import known
from policy.situation import EveryConsent
from tests.policy.guardrail_cases import (
    DAY,
    a_catalog,
    a_situation,
    an_ask,
    at_minute,
    block_by,
    minute_of,
    reason_of,
)

SKIN = Feature("skin", "category", ("dry", "oily"))
BUDGET = Feature("budget", "number")


def test_an_accepted_ask_is_not_asked_again_in_its_episode() -> None:
    catalog = a_catalog(an_ask("quiz"), an_ask("buy"))
    situation = a_situation(catalog, (2, "yes", "quiz"), minute=5)
    assert reason_of("accepted", situation, "quiz") == "accepted at 10:02 in this episode"
    assert reason_of("accepted", situation, "buy") is None


def test_an_accepted_ask_may_be_asked_again_when_the_episode_has_ended() -> None:
    catalog = a_catalog(an_ask("quiz"), an_ask("buy"), conversion_window_s=7 * 86_400)
    story = ((0, "show", "buy"), (2, "yes", "quiz"))
    assert minute_of(block_by("accepted", a_situation(catalog, *story, minute=DAY), "quiz")) == 7 * DAY
    assert reason_of("accepted", a_situation(catalog, *story, minute=7 * DAY), "quiz") is None


def test_a_conversion_ends_the_episode_and_lifts_what_was_accepted_in_it() -> None:
    catalog = a_catalog(an_ask("quiz"), an_ask("buy"))
    situation = a_situation(catalog, (2, "yes", "quiz"), (3, "yes", "buy"), minute=5)
    assert reason_of("accepted", situation, "quiz") is None
    assert reason_of("accepted", situation, "buy") is None


def test_an_acceptance_before_the_first_decision_blocks_without_an_end() -> None:
    situation = a_situation(a_catalog(an_ask("quiz"), an_ask("buy")), (2, "unprompted", "quiz"), minute=5)
    block = block_by("accepted", situation, "quiz")
    assert block is not None
    assert block.until is None


def test_a_time_of_another_day_is_told_with_its_date() -> None:
    situation = a_situation(a_catalog(an_ask("quiz"), an_ask("buy")), (2, "yes", "quiz"), minute=DAY)
    assert reason_of("accepted", situation, "quiz") == "accepted at 10:02 on 2026-11-21 in this episode"


def test_a_repeatable_ask_may_be_asked_again_at_once() -> None:
    catalog = a_catalog(an_ask("login", repeat_after_s=0), an_ask("buy"))
    situation = a_situation(catalog, (2, "yes", "login"), minute=3)
    assert reason_of("accepted", situation, "login") is None
    assert reason_of("repeatable", situation, "login") is None


def test_an_ask_repeatable_after_a_day_rests_for_a_day_across_episodes() -> None:
    catalog = a_catalog(an_ask("login", repeat_after_s=86_400), an_ask("buy"))
    story = ((2, "yes", "login"), (3, "yes", "buy"))
    block = block_by("repeatable", a_situation(catalog, *story, minute=5), "login")
    assert block is not None
    assert block.reason == "accepted at 10:02; asked again no sooner than 1d later"
    assert minute_of(block) == 2 + DAY
    assert reason_of("repeatable", a_situation(catalog, *story, minute=2 + DAY), "login") is None


def test_required_asks_must_all_have_been_accepted_in_whatever_episode() -> None:
    catalog = a_catalog(an_ask("quiz"), an_ask("guide"), an_ask("kit", requires=("quiz", "guide")), an_ask("buy"))
    assert reason_of("requires", a_situation(catalog), "kit") == "requires quiz and guide to have been accepted"
    half = a_situation(catalog, (2, "yes", "quiz"), (3, "no", "guide"), minute=4)
    assert reason_of("requires", half, "kit") == "requires guide to have been accepted"
    whole = a_situation(catalog, (2, "yes", "quiz"), (3, "yes", "buy"), (4, "unprompted", "guide"), minute=90 * DAY)
    assert reason_of("requires", whole, "kit") is None


def test_an_accepted_ask_rules_out_those_that_exclude_it_for_ever() -> None:
    catalog = a_catalog(an_ask("trial"), an_ask("sample", excludes=("trial",)), an_ask("buy"))
    assert reason_of("excludes", a_situation(catalog, (2, "no", "trial"), minute=5), "sample") is None
    situation = a_situation(catalog, (2, "yes", "trial"), minute=90 * DAY)
    assert reason_of("excludes", situation, "sample") == "ruled out by trial, accepted at 10:02 on 2026-11-21"


def test_an_ask_is_made_until_all_it_collects_is_known() -> None:
    catalog = a_catalog(an_ask("quiz", collects=("skin", "budget")), an_ask("buy"), answers=(SKIN, BUDGET))
    assert reason_of("collects", a_situation(catalog, answers={"skin": "dry"}), "quiz") is None
    known_both = a_situation(catalog, answers={"skin": "dry", "budget": 40})
    assert reason_of("collects", known_both, "quiz") == "skin and budget are known already"


def test_an_answer_that_counts_as_missing_is_still_asked_for() -> None:
    catalog = a_catalog(an_ask("quiz", collects=("skin",)), an_ask("buy"), answers=(SKIN,))
    assert reason_of("collects", a_situation(catalog, answers={"skin": "blue"}), "quiz") is None


def test_the_audience_is_found_in_context_and_in_answers() -> None:
    rules = (AudienceRule("basket", ">=", 50.0), AudienceRule("skin", "in", ("dry",)))
    catalog = a_catalog(an_ask("buy", audience=rules), context=(Feature("basket", "number"),), answers=(SKIN,))
    request = {"context": {"basket": 50}, "answers": {"skin": "dry"}}
    assert reason_of("audience", a_situation(catalog, **request), "buy") is None
    poor = a_situation(catalog, context={"basket": 49.5}, answers={"skin": "dry"})
    assert reason_of("audience", poor, "buy") == "only for visitors whose basket is >= 50; it is 49.5"
    other = a_situation(catalog, context={"basket": 50}, answers={"skin": "oily"})
    assert reason_of("audience", other, "buy") == "only for visitors whose skin is dry; it is oily"


@pytest.mark.parametrize("context", [{}, {"basket": "60"}, {"basket": True}, {"basket": float("nan")}, {"basket": 900}])
def test_what_is_missing_of_another_type_or_out_of_bounds_fails_the_audience(context: dict[str, object]) -> None:
    basket = Feature("basket", "number", minimum=0, maximum=500)
    catalog = a_catalog(an_ask("buy", audience=(AudienceRule("basket", ">", 10.0),)), context=(basket,))
    reason = reason_of("audience", a_situation(catalog, context=context), "buy")
    assert reason == "only for visitors whose basket is > 10; it is not known"


def test_a_feature_declared_as_context_is_not_looked_for_in_the_answers() -> None:
    ask = an_ask("buy", audience=(AudienceRule("skin", "in", ("dry",)),))
    catalog = a_catalog(ask, context=(SKIN,), answers=(SKIN,))
    assert reason_of("audience", a_situation(catalog, answers={"skin": "dry"}), "buy") is not None


@pytest.mark.parametrize(("operator", "passing"), [(">=", [5, 6]), (">", [6]), ("<=", [4, 5]), ("<", [4]), ("==", [5])])
def test_every_comparison_of_an_audience_means_what_it_says(operator: str, passing: list[int]) -> None:
    ask = an_ask("buy", audience=(AudienceRule("n", operator, 5.0),))  # type: ignore[arg-type]
    catalog = a_catalog(ask, context=(Feature("n", "number"),))
    asked = [n for n in (4, 5, 6) if reason_of("audience", a_situation(catalog, context={"n": n}), "buy") is None]
    assert asked == passing


def test_a_boolean_audience_wants_a_boolean() -> None:
    ask = an_ask("buy", audience=(AudienceRule("member", "in", (True,)),))
    catalog = a_catalog(ask, context=(Feature("member", "boolean"),))
    assert reason_of("audience", a_situation(catalog, context={"member": True}), "buy") is None
    no_boolean = a_situation(catalog, context={"member": 1})
    assert reason_of("audience", no_boolean, "buy") == "only for visitors whose member is true; it is not known"


def test_an_ask_is_made_on_its_channels_only() -> None:
    catalog = a_catalog(an_ask("buy", channels=("web", "chat")))
    assert reason_of("channels", a_situation(catalog, channel="chat"), "buy") is None
    assert (
        reason_of("channels", a_situation(catalog, channel="email"), "buy")
        == "only on web or chat; the channel is email"
    )


def test_an_ask_is_made_on_its_devices_only_and_an_unknown_device_is_none_of_them() -> None:
    catalog = a_catalog(an_ask("buy", devices=("desktop", "mobile")), an_ask("goal"))
    assert reason_of("devices", a_situation(catalog, context={"device": "mobile"}), "buy") is None
    tablet = a_situation(catalog, context={"device": "tablet"})
    assert reason_of("devices", tablet, "buy") == "only on desktop or mobile; the device is tablet"
    assert reason_of("devices", a_situation(catalog), "buy") == "only on desktop or mobile; the device is not known"
    assert reason_of("devices", a_situation(catalog), "goal") is None


def test_an_ask_is_shown_so_often_in_an_episode_and_no_oftener() -> None:
    catalog = a_catalog(an_ask("quiz", max_shows=2), an_ask("buy"))
    story = ((1, "show", "quiz"), (2, "no", "quiz"))
    assert reason_of("max_shows", a_situation(catalog, story[0], minute=3), "quiz") is None
    block = block_by("max_shows", a_situation(catalog, *story, minute=3), "quiz")
    assert block is not None
    assert block.reason == "shown 2 times in this episode; at most 2 are allowed"
    assert minute_of(block) == 1 + 7 * DAY
    assert reason_of("max_shows", a_situation(catalog, *story, minute=1 + 7 * DAY), "quiz") is None


def test_a_declined_ask_rests() -> None:
    catalog = a_catalog(an_ask("quiz", after_decline_s=86_400), an_ask("buy"))
    block = block_by("after_decline", a_situation(catalog, (2, "no", "quiz"), minute=5), "quiz")
    assert block is not None
    assert block.reason == "declined at 10:02; asked again no sooner than 1d later"
    assert minute_of(block) == 2 + DAY
    assert reason_of("after_decline", a_situation(catalog, (2, "no", "quiz"), minute=2 + DAY), "quiz") is None


def test_an_ask_that_needs_a_consent_is_made_only_with_it() -> None:
    catalog = a_catalog(an_ask("mail", consent="email_marketing", sensitive=True), an_ask("buy"))
    reason = reason_of("consent", a_situation(catalog, consents={"other"}), "mail")
    assert reason == "needs the consent email_marketing, which the request does not carry"
    assert reason_of("consent", a_situation(catalog, consents={"email_marketing"}), "mail") is None
    assert reason_of("consent", a_situation(catalog, consents=EveryConsent()), "mail") is None


def test_an_ask_is_made_in_its_period_which_ends_before_its_last_instant() -> None:
    catalog = a_catalog(an_ask("sale", active_from=at_minute(10), active_until=at_minute(20)), an_ask("buy"))
    early = block_by("active", a_situation(catalog, minute=9), "sale")
    assert early is not None
    assert (early.reason, minute_of(early)) == ("its period begins at 10:10", 10)
    assert block_by("active", a_situation(catalog, minute=10), "sale") is None
    assert block_by("active", a_situation(catalog, minute=19.99), "sale") is None
    late = block_by("active", a_situation(catalog, minute=20), "sale")
    assert late is not None
    assert (late.reason, late.until) == ("its period ended at 10:20", None)


def test_a_request_may_rule_asks_out() -> None:
    catalog = a_catalog(an_ask("quiz"), an_ask("buy"))
    situation = a_situation(catalog, exclude={"quiz", "unheard_of"})
    assert reason_of("exclude", situation, "quiz") == "the request excludes it"
    assert reason_of("exclude", situation, "buy") is None


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        (Feature("f", "category"), "anything", "anything"),
        (Feature("f", "category"), "", None),
        (Feature("f", "category", ("a",)), "b", None),
        (Feature("f", "category"), 3, None),
        (Feature("f", "number"), 3, 3.0),
        (Feature("f", "number"), 10**400, None),
        (Feature("f", "number"), "3", None),
        (Feature("f", "number"), float("inf"), None),
        (Feature("f", "number", minimum=0, maximum=5), 5, 5.0),
        (Feature("f", "number", minimum=0, maximum=5), -0.1, None),
        (Feature("f", "boolean"), False, False),
        (Feature("f", "boolean"), "false", None),
    ],
)
def test_only_a_valid_value_is_known(feature: Feature, value: object, expected: object) -> None:
    assert known(feature, {"f": value}) == expected  # type: ignore[dict-item]
