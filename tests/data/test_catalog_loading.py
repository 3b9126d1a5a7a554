"""What a good file becomes, and the ways to get it."""

import time
from importlib import resources
from pathlib import Path

import pytest

from data.catalog import check_catalog, dump_catalog, load_catalog, load_folder, parse_catalog, walk_baseline
from data.clock import from_iso
from data.domain import CHANNELS, Ask, AudienceRule, Catalog, Exploration, Feature, Holdout, Limits
from data.errors import BadCatalog
from tests.data.catalog_files import TEXT, changed

FULL = """
format: 1
journey: skincare
title: Find your routine
goal: purchase
baseline: [skin_quiz, purchase]
conversion_window: 3d
session_gap: 45m
allow_nothing: true
reward: value
settles: left
reuse_open: 10s
exploration: {day_zero: 0.4, floor: 0.1, loss: 1}
holdout: [{share: 0.05, policy: baseline}, {share: 0, policy: random}]
context:
  referrer: {type: category}
  basket: {type: number, min: 0}
answers: {skin: {type: category, values: [dry, oily]}, member: {type: boolean}}
signals: [page_view]
limits:
  max_asks_per_session: 5
  max_asks_per_day: 8
  min_gap: 1m
  cooldown_after_decline: 2m
  stop_after_declines: 3
  max_effort_step: 9
  max_effort_gap: 6.5
  step_down_after_decline: true
  direct_ask: true
asks:
  - {id: skin_quiz, title: What is your skin like?, kind: quiz, effort: 2, repeatable: true}
  - id: purchase
    title: Buy the set
    kind: purchase
    effort: 8.0
    gives: 5
    stage: decision
    channels: [web, chat]
    devices: [mobile]
    requires: [skin_quiz]
    excludes: [purchase]
    collects: [skin]
    audience: {referrer: [search, ads], basket: ">=50 <1e3", member: true}
    cost: 2.5
    sensitive: true
    repeatable: 1d
    max_shows: 2
    after_decline: 6h
    consent: health
    active: {from: 2026-01-01, until: 2026-06-01T12:00:00+02:00}
    why: To help.
    payload: {sku: [1, {a: null}]}
"""


def test_every_field_arrives_where_it_belongs():
    catalog = parse_catalog(FULL)
    quiz = Ask("skin_quiz", "What is your skin like?", "quiz", 2, repeat_after_s=0)
    purchase = Ask(
        id="purchase",
        title="Buy the set",
        kind="purchase",
        effort=8,
        gives=5,
        stage="decision",
        channels=("web", "chat"),
        devices=("mobile",),
        requires=("skin_quiz",),
        excludes=("purchase",),
        collects=("skin",),
        audience=(
            AudienceRule("basket", ">=", 50),
            AudienceRule("basket", "<", 1000),
            AudienceRule("member", "in", (True,)),
            AudienceRule("referrer", "in", ("search", "ads")),
        ),
        cost=2.5,
        sensitive=True,
        repeat_after_s=86_400,
        max_shows=2,
        after_decline_s=21_600,
        consent="health",
        active_from=from_iso("2026-01-01"),
        active_until=from_iso("2026-06-01T10:00:00Z"),
        why="To help.",
        payload={"sku": [1, {"a": None}]},
    )
    assert catalog == Catalog(
        journey="skincare",
        goal="purchase",
        baseline=("skin_quiz", "purchase"),
        asks=(quiz, purchase),
        title="Find your routine",
        conversion_window_s=3 * 86_400,
        session_gap_s=2_700,
        allow_nothing=True,
        reward="value",
        settles="left",
        reuse_open_s=10,
        exploration=Exploration(0.4, 0.1, 1),
        holdout=(Holdout(0.05, "baseline"), Holdout(0, "random")),
        context=(Feature("basket", "number", None, 0), Feature("referrer", "category")),
        answers=(Feature("member", "boolean"), Feature("skin", "category", ("dry", "oily"))),
        signals=("page_view",),
        limits=Limits(5, 8, 60, 120, 3, 9, 6.5, True, True),
        digest=catalog.digest,
    )


def test_what_is_left_out_has_the_defaults_of_the_domain_types():
    catalog = parse_catalog(
        "{format: 1, journey: j, goal: g, baseline: [g], asks: [{id: g, title: T, kind: click, effort: 1}]}"
    )
    ask = Ask("g", "T", "click", 1)
    assert catalog == Catalog("j", "g", ("g",), (ask,), digest=catalog.digest)
    assert ask.channels == CHANNELS


def test_whole_numbers_stay_whole():
    assert [type(ask.effort) for ask in parse_catalog(FULL).asks] == [int, float]


def test_repeatable_false_is_the_default():
    assert parse_catalog(changed("asks.0.repeatable", False)) == parse_catalog(TEXT)


def test_a_file_is_called_by_its_path_in_the_report(tmp_path):
    path = tmp_path / "skincare.yaml"
    path.write_text(changed("asks.0.effort", 12))
    with pytest.raises(BadCatalog) as caught:
        load_catalog(path)
    assert caught.value.faults[0].file == str(path)


@pytest.mark.parametrize("load", [load_catalog, check_catalog, load_folder])
def test_a_missing_file_or_folder_is_told(load, tmp_path):
    with pytest.raises(BadCatalog, match=r"nowhere: cannot be read: No such file"):
        load(tmp_path / "nowhere")


def test_a_folder_where_a_file_is_needed_is_told(tmp_path):
    with pytest.raises(BadCatalog, match="cannot be read"):
        load_catalog(tmp_path)


def test_a_folder_is_read_by_journey_without_other_files(tmp_path):
    (tmp_path / "a.yaml").write_text(TEXT)
    (tmp_path / "b.yml").write_text(changed("journey", "haircare"))
    for name in (".hidden.yaml", "notes.txt", "a.yaml~"):
        (tmp_path / name).write_text("not a catalog")
    assert sorted(load_folder(tmp_path)) == ["haircare", "skincare"]


def test_a_folder_with_two_files_of_one_journey_is_refused(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(TEXT)
    with pytest.raises(BadCatalog, match=r"b\.yaml: journey: is the journey of .*a\.yaml too; received 'skincare'"):
        load_folder(tmp_path)


def test_a_folder_reports_the_faults_of_all_files(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(changed("asks.0.effort", 12))
    with pytest.raises(BadCatalog) as caught:
        load_folder(tmp_path)
    assert [Path(fault.file).name for fault in caught.value.faults] == ["a.yaml", "b.yaml"]


def test_an_empty_folder_has_no_catalogs(tmp_path):
    assert load_folder(tmp_path) == {}


def test_checking_refuses_a_baseline_that_cannot_convert_with_the_line(tmp_path):
    path = tmp_path / "skincare.yaml"
    path.write_text(TEXT.replace("max_effort_step: 4", "max_effort_step: 3"))
    assert load_catalog(path).journey == "skincare"
    with pytest.raises(BadCatalog, match=r"baseline\[2\]: the goal purchase .* \(line 4\); received effort 8"):
        check_catalog(path)


def test_checking_warns_of_devices_that_are_not_declared(tmp_path):
    path = tmp_path / "skincare.yaml"
    path.write_text(
        TEXT.replace("  device: {type: category, values: [desktop, mobile]}\n", "").replace(
            "gives: 4", "devices: [mobile]"
        )
    )
    _, warnings = check_catalog(path)
    assert [(warning.path, "does not declare device" in warning.problem) for warning in warnings] == [
        ("asks[1].devices", True)
    ]


def test_checking_warns_of_a_name_that_is_context_and_answer(tmp_path):
    path = tmp_path / "skincare.yaml"
    path.write_text(TEXT.replace("skin_type", "referrer").replace("gives: 4", "audience: {referrer: dry}"))
    _, warnings = check_catalog(path)
    assert [warning.path for warning in warnings] == ["asks[1].audience.referrer"]


def test_the_journey_to_start_from_is_good_and_converts_in_one_visit():
    path = Path(str(resources.files("data") / "starter" / "skincare.yaml"))
    catalog, warnings = check_catalog(path)
    assert warnings == ()
    assert len(catalog.asks) == 10
    assert walk_baseline(catalog).is_converted


def test_two_hundred_asks_load_well_under_a_second():
    extra = "".join(
        f"  - {{id: a{i}, title: Ask {i}, kind: click, effort: 1, requires: [a{i - 1}], cost: {i}}}\n"
        for i in range(1, 200)
    )
    text = TEXT + "  - {id: a0, title: Ask 0, kind: click, effort: 1}\n" + extra
    start = time.perf_counter()
    assert len(parse_catalog(text).asks) == 203
    assert time.perf_counter() - start < 1


def test_every_kind_of_text_survives_dumping():
    titles = [
        "yes",
        "1e3",
        "2026-01-01",
        "a: b",
        "# no",
        "é 🙂 \u2028 \ufeff",
        " spaced ",
        "two\nlines\n",
        "<<",
        "=",
        "~",
    ]
    for title in titles:
        catalog = parse_catalog(changed("title", title))
        assert parse_catalog(dump_catalog(catalog)).title == title
