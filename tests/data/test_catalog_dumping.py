"""Digests, and what a dump looks like."""

import pytest
import yaml

from data.catalog import digest_of, dump_catalog, parse_catalog
from tests.data.catalog_files import TEXT, changed

DIGEST = parse_catalog(TEXT).digest


def test_the_digest_is_a_sha256_of_the_content():
    catalog = parse_catalog(TEXT)
    assert len(DIGEST) == 64
    assert digest_of(catalog) == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + TEXT,
        yaml.safe_dump(yaml.safe_load(TEXT), sort_keys=True, default_flow_style=False),
        TEXT.replace("effort: 2", "effort: 2.0"),
        TEXT + "session_gap: 30m\nallow_nothing: false\nsignals: []\n",
        TEXT + "session_gap: 1800s\n",
        TEXT.replace("gives: 4", "gives: 4, repeatable: false, channels: [web, email, social, chat, voice, app]"),
    ],
    ids=["comment", "order of fields", "whole number", "defaults", "other unit", "defaults of an ask"],
)
def test_what_says_the_same_has_the_same_digest(text):
    assert parse_catalog(text).digest == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        changed("asks.0.effort", 3),
        changed("asks.0.title", "What's your skin like?"),
        changed("baseline", ["routine_guide", "skin_quiz", "purchase"]),
        changed("asks", yaml.safe_load(TEXT)["asks"][::-1]),
        changed("limits", {}),
        changed("asks.1.payload", {"a": 1}),
    ],
    ids=["effort", "title", "order of the baseline", "order of asks", "limits", "payload"],
)
def test_what_says_something_else_has_another_digest(text):
    assert parse_catalog(text).digest != DIGEST


def test_a_dump_leaves_out_defaults_and_reads_like_a_file():
    lines = dump_catalog(parse_catalog(TEXT)).splitlines()
    assert lines[:4] == [
        "format: 1",
        "journey: skincare",
        "goal: purchase",
        "baseline: [skin_quiz, routine_guide, purchase]",
    ]
    assert lines[-1] == "- {id: purchase, title: Buy the set, kind: purchase, effort: 8, gives: 5}"


def test_a_dump_reads_the_same_with_any_yaml_reader():
    text = dump_catalog(parse_catalog(changed("title", "What is it?, she asked: [no] {yes} & *more")))
    assert yaml.load(text, yaml.CSafeLoader) == yaml.load(text, yaml.SafeLoader)


def test_what_comes_twice_is_written_twice():
    text = TEXT.replace("gives: 4", "payload: {a: &x [1], b: *x}")
    assert "*" not in dump_catalog(parse_catalog(text))
