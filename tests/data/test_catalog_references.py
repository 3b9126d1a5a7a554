"""What is said where fields contradict each other or refer to nothing."""

import pytest

from data.catalog import check_catalog
from tests.data.catalog_files import changed, faults_of, only_fault, tree

WRONG = [
    # path changed, value, path of the fault, words of the problem, received, words of what is allowed
    ("asks.1.id", "skin_quiz", "asks[1].id", "the id of asks[0] too", "'skin_quiz'", "of its own"),
    ("goal", "purchse", "goal", "no ask of this catalog; did you mean purchase?", "'purchse'", "skin_quiz"),
    ("baseline", ["skin_qiz", "purchase"], "baseline[0]", "did you mean skin_quiz?", "'skin_qiz'", "purchase"),
    ("baseline", ["skin_quiz"], "baseline", "does not contain the goal", "skin_quiz", "purchase at the end"),
    ("baseline", ["skin_quiz", "skin_quiz", "purchase"], "baseline[1]", "a second time", "'skin_quiz'", "once"),
    ("asks.2.requires", ["skin_quis"], "asks[2].requires[0]", "did you mean skin_quiz?", "'skin_quis'", "purchase"),
    ("asks.2.excludes", ["nothing"], "asks[2].excludes[0]", "no ask of this catalog", "'nothing'", "purchase"),
    ("asks.2.requires", ["purchase"], "asks[2].requires", "purchase, which requires purchase", "", "come first"),
    ("asks.0.collects", ["skintype"], "asks[0].collects[0]", "did you mean skin_type?", "'skintype'", "skin_type"),
    ("asks.0.collects", ["device"], "asks[0].collects[0]", "not declared under answers", "'device'", "skin_type"),
    ("asks.0.audience", {"basked": 5}, "asks[0].audience.basked", "did you mean basket?", "5", "basket"),
    ("asks.0.audience", {"device": "tablet"}, "asks[0].audience.device", "no value of device", "'tablet'", "mobile"),
    ("asks.0.audience", {"device": ["moblie"]}, "asks[0].audience.device", "mean mobile?", "['moblie']", "mobile"),
    ("asks.0.audience", {"device": []}, "asks[0].audience.device", "which nobody meets", "[]", "at least one"),
    ("asks.0.audience", {"device": ["mobile", "mobile"]}, "asks[0].audience.device", "twice", "mobile", "once"),
    (
        "asks.0.audience",
        {"device": ">=50"},
        "asks[0].audience.device",
        "compares, but device is a category",
        ">=50",
        "list",
    ),
    ("asks.0.audience", {"referrer": ">5"}, "asks[0].audience.referrer", "referrer is a category", ">5", "list"),
    ("asks.0.audience", {"referrer": True}, "asks[0].audience.referrer", "read as yes or no", "true", "in quotes"),
    ("asks.0.audience", {"referrer": {"a": 1}}, "asks[0].audience.referrer", "not text", "fields ('a')", "text"),
    ("asks.0.audience", {"basket": "50"}, "asks[0].audience.basket", "is no comparison", "'50'", '">=50 <100"'),
    ("asks.0.audience", {"basket": "!=50"}, "asks[0].audience.basket", "is no comparison", "'!=50'", '">=50"'),
    ("asks.0.audience", {"basket": ["50"]}, "asks[0].audience.basket", "is not a number", "['50']", "list of numbers"),
    ("asks.0.audience", {"basket": True}, "asks[0].audience.basket", "is not a number", "true", "list of numbers"),
    ("asks.0.audience", {"basket": 501}, "asks[0].audience.basket", "cannot have", "501", "from 0 to 500"),
    ("asks.0.audience", {"basket": ">500"}, "asks[0].audience.basket", "can never hold", "'>500'", "from 0 to 500"),
    ("asks.0.audience", {"basket": ">=9 <9"}, "asks[0].audience.basket", "can never hold", "'>=9 <9'", "from 0 to 500"),
    ("asks.0.audience", {"basket": ">1e999"}, "asks[0].audience.basket", "too large", "'>1e999'", "up to 1e+15"),
    ("asks.0.audience", {"is_member": "true"}, "asks[0].audience.is_member", "is a boolean", "'true'", "true or false"),
    ("asks.0.devices", ["tablet"], "asks[0].devices[0]", "no value of context.device", "'tablet'", "desktop, mobile"),
    (
        "context.basket.values",
        ["a"],
        "context.basket.values",
        "is set, but basket is a number",
        "a list of 1",
        "category",
    ),
    ("context.referrer.min", 0, "context.referrer.min", "is set, but referrer is a category", "0", "only for a number"),
    ("context.is_member.max", 1, "context.is_member.max", "is set, but is_member is a boolean", "1", "for a number"),
    ("context.basket.min", 501, "context.basket.max", "is below min", "500", "at least 501"),
    ("asks.0.sensitive", True, "asks[0].consent", "is missing, and the ask is sensitive", "", "email_marketing"),
    (
        "holdout",
        [{"share": 0.7, "policy": "none"}, {"share": 0.4, "policy": "direct"}],
        "holdout",
        "add up",
        "1.1",
        "at most 1",
    ),
    ("holdout", [{"share": 0.1, "policy": "none"}] * 2, "holdout[1].policy", "holdout[0] too", "'none'", "one entry"),
    (
        "asks.0.active",
        {"from": "2026-02-01", "until": "2026-01-01"},
        "asks[0].active.until",
        "not after from",
        "2026",
        "later",
    ),
    (
        "asks.0.active",
        {"from": "2026-02-01", "until": "2026-02-01"},
        "asks[0].active.until",
        "not after from",
        "2026",
        "later",
    ),
]


@pytest.mark.parametrize(
    ("path", "value", "place", "problem", "received", "allowed"),
    WRONG,
    ids=[f"{row[0]}={row[1]!r:.40}" for row in WRONG],
)
def test_a_contradiction_is_told_with_its_place(path, value, place, problem, received, allowed):
    fault = {fault.path: fault for fault in faults_of(changed(path, value))}[place]
    assert problem in fault.problem
    assert received in fault.received
    assert allowed in fault.allowed


def test_an_ask_that_requires_and_excludes_another_can_never_be_asked():
    whole = {**tree()["asks"][2], "requires": ["skin_quiz"], "excludes": ["routine_guide", "skin_quiz"]}
    fault = only_fault(changed("asks.2", whole))
    assert fault.path == "asks[2].excludes[1]"
    assert "required by the same ask" in fault.problem


def test_a_circle_of_requirements_is_told_once():
    asks = tree()["asks"]
    for i, ask in enumerate(asks):
        ask["requires"] = [asks[(i + 1) % 3]["id"]]
    fault = only_fault(changed("asks", asks))
    assert "skin_quiz, which requires routine_guide, which requires purchase, which requires skin_quiz" in fault.problem


def test_a_long_chain_of_requirements_is_no_circle():
    first = tree()["asks"][0]
    chain = [{**first, "id": f"ask-{i}", "requires": [f"ask-{i + 1}"]} for i in range(900)]
    assert faults_of(changed("asks", [*chain, {**first, "id": "ask-900"}, *tree()["asks"]])) == ()


def test_devices_need_a_category():
    text = changed("asks.0.devices", ["mobile"]).replace(
        "  device:\n    type: category\n    values:\n    - desktop\n    - mobile\n", "  device: {type: number}\n"
    )
    fault = only_fault(text)
    assert fault.path == "asks[0].devices"
    assert "context.device is a number" in fault.problem


def test_contradictions_are_reported_beside_wrong_fields():
    asks = tree()["asks"]
    asks[0] |= {"effort": "two", "requires": ["nothing"], "sensitive": True}
    assert [fault.path for fault in faults_of(changed("asks", asks))] == [
        "asks[0].consent",
        "asks[0].effort",
        "asks[0].requires[0]",
    ]


@pytest.mark.parametrize(
    "audience",
    [
        {"basket": ">=50 <100"},
        {"basket": ">= 50, <= 100"},
        {"basket": "==0"},
        {"basket": "<1e2"},
        {"basket": 7.5},
        {"basket": [1, 2.5]},
        {"device": "mobile", "skin_type": ["dry", "<18"]},
        {"skin_type": ">35"},
        {"is_member": False},
        {"referrer": ["anything", ">5 things"]},
    ],
)
def test_sensible_audiences_are_accepted(audience):
    assert faults_of(changed("asks.2.audience", audience)) == ()


def test_a_baseline_that_goes_on_after_the_goal_is_only_doubtful(tmp_path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(changed("baseline", ["routine_guide", "purchase", "skin_quiz"]), encoding="utf-8")
    catalog, warnings = check_catalog(path)
    assert catalog.baseline == ("routine_guide", "purchase", "skin_quiz")
    assert any("after the goal" in warning.problem for warning in warnings)
