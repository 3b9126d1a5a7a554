"""The catalog page against the code: its catalogs load, its names, defaults and sizes are the real ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.catalog import CatalogFolder, catalog_from_tree, check_catalog, parse_catalog
from data.catalog import document as d
from data.catalog import values as v
from data.clock import parse_duration
from data.domain import Catalog, Exploration
from data.errors import BadCatalog
from data.settings import ServeSettings
from features.state import JourneyState
from policy.guardrails.registry import GUARDRAILS
from policy.live import HOLDOUT, LiveJourney, arm_for
from tests.documents import ROOT, Block, blocks, prose, section, tables

PAGE = ROOT / "docs" / "catalog.md"
BLOCKS = [block for block in blocks(PAGE, "yaml", "yaml ask") if not block.text.startswith("format: 1")]
COMPLETE = [block for block in blocks(PAGE, "yaml") if block.text.startswith("format: 1")]

BASE = """\
format: 1
journey: skincare
goal: purchase
baseline: [skin_quiz, purchase]
context:
  device: {type: category, values: [desktop, mobile, tablet]}
  referrer: {type: category, values: [search, social, blog]}
  basket_value: {type: number, min: 0}
  is_member: {type: boolean}
answers:
  skin_type: {type: category, values: [dry, oily, mixed]}
asks:
  - {id: skin_quiz, title: What is your skin like?, kind: quiz, effort: 2}
  - {id: routine_guide, title: Your morning routine, kind: content, effort: 2}
  - {id: wishlist, title: Keep it for later, kind: save, effort: 4}
  - {id: purchase, title: Buy the set, kind: purchase, effort: 8, gives: 5}
"""


def merged(block: Block) -> dict[str, Any]:
    """A small catalog with a fragment in it: fields replace fields, asks replace or join those of the same id."""
    base, given = (dict(d.read_document(text, str(block)).tree) for text in (BASE, block.text))
    if block.info == "yaml ask":
        given = {"asks": [given]}
    asks = {ask["id"]: ask for ask in [*base["asks"], *given.get("asks", [])]}
    return {**base, **given, "asks": list(asks.values())}


@pytest.mark.parametrize("block", COMPLETE, ids=str)
def test_complete_catalogs_load(block: Block) -> None:
    assert parse_catalog(block.text, str(block)).digest


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_fragments_load_in_a_small_catalog(block: Block) -> None:
    assert catalog_from_tree(merged(block), str(block)).digest


def test_the_page_has_both_complete_catalogs_and_fragments() -> None:
    assert len(COMPLETE) >= 1
    assert len(BLOCKS) >= 8


def test_the_section_on_guardrails_names_each_of_them_and_no_other() -> None:
    lines = section(PAGE, "What each guardrail says")
    text = "\n".join(PAGE.read_text(encoding="utf-8").splitlines()[lines.start - 1 : lines.stop - 1])
    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert named == {rule.name for rule in GUARDRAILS}


# defaults


def said_defaults(heading: str) -> Mapping[str, str]:
    return {row[0].strip("`"): row[1].strip("`") for row in tables(PAGE)[f"{heading}|default|what it does"]}


def domain_defaults(part: type) -> dict[str, Any]:
    """The defaults of a class of the domain, by the names that its fields have in a file."""
    found: tuple[Field[Any], ...] = fields(part)
    return {field.name.removesuffix("_s"): field.default for field in found if field.default is not MISSING}


@pytest.mark.parametrize("name", ["conversion_window", "session_gap", "reuse_open"])
def test_a_default_duration_of_a_journey_is_the_real_one(name: str) -> None:
    assert parse_duration(said_defaults("field")[name]) == domain_defaults(Catalog)[name]


@pytest.mark.parametrize("name", ["reward", "settles", "allow_nothing"])
def test_a_default_of_a_journey_is_the_real_one(name: str) -> None:
    assert yaml.safe_load(said_defaults("field")[name]) == domain_defaults(Catalog)[name]


def test_the_defaults_of_exploration_are_the_real_ones() -> None:
    said = {name: float(text) for name, text in said_defaults("in `exploration`").items()}
    assert said == domain_defaults(Exploration)
    assert domain_defaults(Catalog)["exploration"] == Exploration()


# sizes


def test_the_sizes_are_the_real_ones() -> None:
    said = {row[0]: row[1].replace(",", "") for row in tables(PAGE)["what|at most"]}
    assert said["a file"] == f"{d.MAX_BYTES >> 20} MiB {d.MAX_DEPTH} levels {d.MAX_VALUES} values"
    assert said["asks"] == str(v.MAX_ASKS)
    assert said["signals"] == str(v.MAX_SIGNALS)
    assert said["names and values of features, devices, consents"] == f"{v.MAX_ID_BYTES} bytes"
    assert said["`payload`"] == f"{v.MAX_PAYLOAD_BYTES >> 10} KiB as JSON"
    assert said["`max_asks_per_day`"] == f"from 1 to {v.MAX_ASKS_PER_DAY}"


SMALL_QUIZ = "effort: 2}"
AT_THE_EDGE = [
    ("title: What is your skin like?", "title: {}", "x" * 2_000, "x" * 2_001),
    (SMALL_QUIZ, "effort: 2, after_decline: {}}}", "3650d", "3651d"),
    (SMALL_QUIZ, "effort: 2, max_shows: {}}}", "1000000", "1000001"),
    (SMALL_QUIZ, "effort: 2, cost: {}}}", "1000000000000000", "1000000000000001"),
    (SMALL_QUIZ, "effort: {}}}", "10", "10.1"),
    ("format: 1\n", "format: 1\nsession_gap: {}\n", "1s", "0s"),
    ("format: 1\n", "format: 1\nlimits: {{max_effort_gap: {}}}\n", "-10", "-11"),
]


@pytest.mark.parametrize(("old", "new", "good", "bad"), AT_THE_EDGE, ids=[case[1].strip()[:40] for case in AT_THE_EDGE])
def test_what_is_said_to_be_too_much_is_refused(old: str, new: str, good: str, bad: str) -> None:
    assert parse_catalog(BASE.replace(old, new.format(good), 1))
    with pytest.raises(BadCatalog):
        parse_catalog(BASE.replace(old, new.format(bad), 1))


# checking and changing


def test_the_report_of_a_baseline_that_cannot_convert_is_the_real_one(tmp_path: Path) -> None:
    text = (
        COMPLETE[0].text.replace("max_effort_step: 3", "max_effort_step: 1").replace("title: Our Friday letter\n", "")
    )
    (shown,) = (block.text for block in blocks(PAGE, "") if "1 fault" in block.text)
    file = tmp_path / "newsletter.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadCatalog) as refusal:
        check_catalog(file)
    (fault,) = refusal.value.faults
    words = str(fault).replace(str(file), "").lstrip(": ")
    assert words in " ".join(shown.split())


def test_a_folder_takes_a_baseline_that_cannot_convert_and_warns(tmp_path: Path) -> None:
    text = COMPLETE[0].text.replace("max_effort_step: 3", "max_effort_step: 1")
    (tmp_path / "newsletter.yaml").write_text(text, encoding="utf-8")
    folder = CatalogFolder(tmp_path)
    assert set(folder.catalogs) == {"newsletter"}
    assert folder.faults == ()
    assert len(folder.warnings) == 1


def test_a_service_looks_for_changes_as_often_as_the_page_says() -> None:
    said = " ".join(prose(PAGE).split())
    assert f"every {ServeSettings().poll_seconds:g} seconds, or as `serve.poll_seconds` says, 10 at most" in said
    with pytest.raises(ValueError, match="less than or equal to 10"):
        ServeSettings(poll_seconds=10.5)


@pytest.mark.parametrize(
    ("unit", "arm"),
    [(0.049, "holdout:baseline"), (0.051, "holdout:direct"), (0.105, "holdout:random"), (0.111, "main")],
)
def test_holdouts_take_their_shares_in_the_order_of_the_file(unit: float, arm: str) -> None:
    (block,) = (block for block in BLOCKS if block.text.startswith("holdout:"))
    live = LiveJourney(catalog_from_tree(merged(block)))
    assert arm_for(live, JourneyState(), unit) == arm


def test_a_running_episode_keeps_its_arm_when_shares_change() -> None:
    live = LiveJourney(parse_catalog(BASE))
    assert arm_for(live, JourneyState(arm=HOLDOUT + "direct"), 0.5) == "holdout:direct"


def test_the_page_does_not_promise_that_small_asks_win() -> None:
    assert "No public data shows that a progression of small asks beats" in " ".join(prose(PAGE).split())
