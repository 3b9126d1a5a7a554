"""What the documentation says is so: its snippets run, its tables are complete, its links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from data.catalog import catalog_from_tree, parse_catalog
from data.catalog.document import read_document
from data.catalog.reachability import dead_ends
from data.catalog.schema import (
    ActiveFile,
    AskFile,
    CatalogFile,
    ExplorationFile,
    FeatureFile,
    HoldoutFile,
    LimitsFile,
    field_names,
)
from data.clock import parse_duration
from data.domain import Catalog, Limits
from data.log.mapping import load_map
from data.settings import load_settings, setting_names
from policy.candidates import Candidates
from policy.explorers import InverseGap
from policy.guardrails.registry import GUARDRAILS
from policy.policies import DayZero
from policy.situation import Situation
from tests.documents import PAGES, ROOT, Block, anchors, blocks, links, prose, section, tables
from tests.policy.guardrail_cases import DAY, a_catalog, a_situation, an_ask, at_minute, reason_of
from training.cli.app import COMMANDS
from training.settings_page import FLAGS, settings_table

README = ROOT / "README.md"
CATALOG_PAGE = ROOT / "docs" / "catalog.md"
TUTORIAL = ROOT / "docs" / "getting-started.md"
SETTINGS_PAGE = ROOT / "docs" / "settings.md"

BASE = """\
format: 1
journey: skincare
goal: purchase
baseline: [skin_quiz, wishlist, purchase]
context:
  device: {type: category, values: [desktop, mobile, tablet]}
  referrer: {type: category}
  basket_value: {type: number, min: 0}
  is_member: {type: boolean}
answers:
  skin_type: {type: category, values: [dry, oily, mixed]}
asks:
  - {id: skin_quiz, title: What is your skin like?, kind: quiz, effort: 2, gives: 4}
  - {id: routine_guide, title: Your morning routine, kind: content, effort: 2, gives: 4}
  - {id: wishlist, title: Keep it for later, kind: save, effort: 4, gives: 2}
  - {id: purchase, title: Buy the set, kind: purchase, effort: 8, gives: 5}
"""
"""What fragments of catalogs are completed with."""


def all_blocks(*infos: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *infos)]


# snippets


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


def completed(block: Block) -> Catalog:
    """The catalog of a snippet, with what it leaves out taken from ``BASE``."""
    if block.text.startswith("format:"):
        return parse_catalog(block.text, str(block))
    base, given = (dict(read_document(text, str(block)).tree) for text in (BASE, block.text))
    if block.info == "yaml ask":
        return catalog_from_tree({**base, "asks": [*base["asks"], given]}, str(block))
    return catalog_from_tree({**base, **given}, str(block))


@pytest.mark.parametrize(
    "block", [*blocks(README, "yaml"), *blocks(TUTORIAL, "yaml"), *blocks(CATALOG_PAGE, "yaml", "yaml ask")], ids=str
)
def test_catalogs_and_their_parts_are_good(block: Block) -> None:
    assert dead_ends(completed(block)) == []


@pytest.mark.parametrize("block", all_blocks("yaml refused"), ids=str)
def test_catalogs_that_are_said_to_be_refused_are(block: Block) -> None:
    assert dead_ends(completed(block)) != []


def test_a_catalog_in_ten_lines_has_ten_lines_at_most() -> None:
    (block,) = (block for block in blocks(README, "yaml") if block.line in section(README, "A catalog in ten lines"))
    assert len(block.text.splitlines()) <= 10
    assert len(completed(block).baseline) == 3


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_settings_in_examples_are_settings(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "smallyes.toml"
    file.write_text(block.text, encoding="utf-8")
    load_settings(file, {}, {})


@pytest.mark.parametrize("block", blocks(ROOT / "docs" / "logs.md", "yaml"), ids=str)
def test_map_files_in_examples_are_map_files(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(block.text, encoding="utf-8")
    assert load_map(file).columns


def test_every_snippet_is_of_a_kind_that_is_tested() -> None:
    """A block in another language would be prose that nobody checks."""
    known = {"python", "yaml", "yaml ask", "yaml refused", "toml", "sh", "json", ""}
    text = {page: re.findall(r"^```([^\n`]+)$", page.read_text(encoding="utf-8"), re.MULTILINE) for page in PAGES}
    assert {page.name: set(infos) - known for page, infos in text.items() if set(infos) - known} == {}


# the catalog page


PARTS: dict[str, type[BaseModel]] = {
    "field": CatalogFile,
    "in `asks`": AskFile,
    "in `active`": ActiveFile,
    "in `context` and `answers`": FeatureFile,
    "in `limits`": LimitsFile,
    "in `exploration`": ExplorationFile,
    "in `holdout`": HoldoutFile,
}


@pytest.mark.parametrize("heading", PARTS)
def test_every_field_of_a_catalog_is_described(heading: str) -> None:
    described = [name.strip("`") for name, *_ in tables(CATALOG_PAGE)[f"{heading}|default|what it does"]]
    assert sorted(described) == sorted(field_names(PARTS[heading]))


@pytest.mark.parametrize("heading", PARTS)
def test_every_default_of_a_catalog_is_the_real_one(heading: str) -> None:
    fields = {field.alias or name: field for name, field in PARTS[heading].model_fields.items()}
    for name, said, _ in tables(CATALOG_PAGE)[f"{heading}|default|what it does"]:
        field = fields[name.strip("`")]
        if said == "required":
            assert field.is_required(), name
        elif said == "-":
            assert field.default is None, name
        else:
            assert _means(said.strip("`"), field.get_default(call_default_factory=True)), name


def _means(text: str, default: Any) -> bool:
    if isinstance(default, BaseModel):
        return text == "{}" and type(default)() == default
    if default is None:
        return text == "false"  # ``repeatable``
    if isinstance(default, int) and not isinstance(default, bool) and re.fullmatch(r"\d+[smhd]", text):
        return parse_duration(text) == default
    return bool(yaml.safe_load(text) == default)


def test_every_field_has_an_example() -> None:
    text = "\n".join(block.text for block in blocks(CATALOG_PAGE, "yaml", "yaml ask"))
    names = {name for part in PARTS.values() for name in field_names(part)}
    rare = {"sensitive", "cost"}
    assert {name for name in names - rare if not re.search(rf"\b{name}:", text)} == set()


def candidates(n: int, baseline: int) -> Candidates:
    return Candidates(np.array([0, n]), np.arange(n), np.array([baseline]), np.array([n - 1]))


def said(page: Path) -> str:
    """A page's prose on one line."""
    return " ".join(prose(page).split())


def test_the_arithmetic_of_day_zero_is_right() -> None:
    assert DayZero(0.5).distribution(candidates(5, 2)).probabilities.tolist() == pytest.approx(
        [0.1, 0.1, 0.6, 0.1, 0.1]
    )
    assert DayZero(0.5).distribution(candidates(5, -1)).probabilities.tolist() == pytest.approx([0.2] * 5)
    assert "each gets 0.5 / 5 = 0.1, and the baseline's ask 0.5 more: 0.6" in said(CATALOG_PAGE)
    assert "If the baseline has no possible ask, all five get 0.2" in said(CATALOG_PAGE)


def test_the_arithmetic_of_floor_and_loss_is_right() -> None:
    explorer = InverseGap(loss=0.05, steps=5, floor=0.05)
    found = explorer.probabilities(np.array([0.060, 0.045, 0.015]), candidates(3, 0))
    assert f"it gives the three {found[0]:.3f}, {found[1]:.3f} and {found[2]:.3f}" in said(CATALOG_PAGE)


YES, NO, SHOW = (2, "yes", "trial"), (2, "no", "trial"), (2, "show", "trial")
TRIAL = an_ask("trial", 4)


def _about(**fields: Any) -> Catalog:
    limits = fields.pop("limits", Limits())
    effort = fields.pop("effort", 4)
    return a_catalog(an_ask("skin_quiz"), TRIAL, an_ask("offer", effort, **fields), an_ask("buy", 9), limits=limits)


def _base(fields: str) -> Catalog:
    return parse_catalog(BASE.replace("gives: 5}", f"gives: 5, {fields}}}"))


GUARDRAIL_STORIES: dict[str, Situation] = {
    "accepted": a_situation(_about(), (2, "yes", "offer"), minute=3),
    "repeatable": a_situation(_about(repeat_after_s=86_400), (2, "yes", "offer"), minute=3),
    "requires": a_situation(_about(requires=("skin_quiz",))),
    "excludes": a_situation(_about(excludes=("trial",)), YES, minute=3),
    "collects": a_situation(_base("collects: [skin_type]"), answers={"skin_type": "dry"}),
    "audience": a_situation(_base("audience: {referrer: [search, social]}")),
    "channels": a_situation(_about(channels=("web", "chat")), channel="email"),
    "devices": a_situation(_about(devices=("desktop", "tablet")), context={"device": "mobile"}),
    "max_shows": a_situation(_about(max_shows=2), (1, "show", "offer"), (2, "show", "offer"), minute=3),
    "after_decline": a_situation(_about(after_decline_s=86_400), (2, "no", "offer"), minute=3),
    "consent": a_situation(_about(consent="email_marketing")),
    "active": a_situation(_about(active_from=at_minute(9 * DAY + 14 * 60))),
    "exclude": a_situation(_about(), exclude={"offer"}),
    "max_asks_per_session": a_situation(_about(limits=Limits(max_asks_per_session=3)), *[SHOW] * 3, minute=3),
    "max_asks_per_day": a_situation(_about(limits=Limits(max_asks_per_day=3)), *[SHOW] * 3, minute=3),
    "min_gap": a_situation(_about(limits=Limits(min_gap_s=300)), SHOW, minute=3),
    "cooldown_after_decline": a_situation(_about(limits=Limits(cooldown_after_decline_s=300)), NO, minute=3),
    "stop_after_declines": a_situation(_about(limits=Limits(stop_after_declines=2)), NO, NO, minute=3),
    "max_effort_step": a_situation(
        _about(effort=8, limits=Limits(max_effort_step=4)), (2, "yes", "skin_quiz"), minute=3
    ),
    "max_effort_gap": a_situation(_about(effort=8, gives=1, limits=Limits(max_effort_gap=6))),
    "step_down_after_decline": a_situation(_about(limits=Limits(step_down_after_decline=True)), NO, minute=3),
}


REASONS = "guardrail|comes from|for example"


@pytest.mark.parametrize("heading", [REASONS, "guardrail|blocks|lifts"])
def test_guardrails_are_listed_in_the_order_in_which_they_speak(heading: str) -> None:
    described = [name.strip("`") for name, *_ in tables(CATALOG_PAGE)[heading]]
    assert described == [rule.name for rule in GUARDRAILS]


@pytest.mark.parametrize("name", [rule.name for rule in GUARDRAILS])
def test_what_a_guardrail_is_said_to_say_it_says(name: str) -> None:
    reasons = {row[0].strip("`"): row[2] for row in tables(CATALOG_PAGE)[REASONS]}
    story = GUARDRAIL_STORIES[name]
    about = "offer" if "offer" in story.catalog.position else "purchase"
    assert reason_of(name, story, about) == reasons[name]


# the settings page


def test_the_settings_page_has_the_real_table() -> None:
    assert settings_table() in SETTINGS_PAGE.read_text(encoding="utf-8")


def test_every_setting_is_in_the_table_once() -> None:
    (rows,) = tables(SETTINGS_PAGE).values()
    assert [row[0].strip("`") for row in rows] == [name for name, _, _ in setting_names()]


@pytest.mark.parametrize("flag", FLAGS.values())
def test_flags_of_the_table_exist(flag: str) -> None:
    import click

    from training.cli.app import cli

    name, option = flag.split()
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert option in {text for parameter in command.params for text in parameter.opts}


# links and names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        is_web = target.startswith("https://")
        if not is_web and (not there.exists() or (anchor and anchor not in anchors(there))):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_named_exist(page: Path) -> None:
    typed = [line for block in blocks(page, "sh", "") for line in block.text.splitlines()]
    code = "\n".join([*typed, *(span.strip("`") for span in re.findall(r"`[^`\n]+`", prose(page)))])
    named = set(re.findall(r"^(?:\$ )?smallyes ([a-z]+)\b", code, re.MULTILINE))
    assert named - set(COMMANDS) == set()


def test_nothing_names_a_place_on_somebodys_machine() -> None:
    pages = [*PAGES, *ROOT.glob("*.toml"), *ROOT.glob("*.lock"), ROOT / "Makefile", ROOT / ".ci" / "run"]
    code = [
        path for room in ("data", "features", "policy", "training", "serving") for path in (ROOT / room).rglob("*.py")
    ]
    machine = re.compile(r"(?<![\w.~-])/(work|home|root|Users|tmp|mnt|opt)/")
    found = {
        str(path.relative_to(ROOT)) for path in [*pages, *code] if machine.search(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_pins_have_hashes_and_name_no_host(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|@ ", text)
    pins = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line and not line.startswith("#")]
    assert pins
    assert [pin for pin in pins if not re.match(r"^[A-Za-z0-9_.\[\]-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", pin)] == []


# the tutorials, for real


class Terminal:
    """A shell whose folder lasts, beside a service on a port of its own, as a reader of the tutorial has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "SMALLYES_SERVE_PORT": str(self.port)}
        self.service: subprocess.Popen[bytes] | None = None
        self.last: Any = None

    def type(self, block: Block) -> str:
        """Runs a block's lines; ``smallyes serve`` goes on in the background."""
        text = block.text.replace("localhost:3000", f"127.0.0.1:{self.port}")
        if isinstance(self.last, dict) and "decision_id" in self.last:
            text = text.replace("019a...", self.last["decision_id"])
        before, serve, after = text.partition("smallyes serve\n")
        said = self._run(before) + (self._serve() if serve else "") + self._run(after)
        if said.startswith("{"):
            self.last = json.loads(said)
        return said

    def _run(self, text: str) -> str:
        if not text.strip():
            return ""
        place = self.folder.parent / "place"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{text}\npwd > '{place}'"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        self.folder = Path(place.read_text().strip())
        return done.stdout

    def _serve(self) -> str:
        with (self.folder / "var" / "service.log").open("wb") as log:
            self.service = subprocess.Popen(
                ["bash", "-c", "exec smallyes serve"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert self.service.poll() is None, (self.folder / "var" / "service.log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                    return ""
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "var" / "service.log").read_text())

    def close(self) -> None:
        """Ends the service, and nothing else."""
        if self.service is None:
            return
        self.service.terminate()
        try:
            self.service.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.service.pid, signal.SIGKILL)
            self.service.wait(10)


@contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("the tutorial needs bash and curl")
    folder.mkdir()
    opened = Terminal(folder)
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.slow
def test_the_first_decision_of_the_readme_is_made(tmp_path: Path) -> None:
    lines = section(README, "First decision")
    shell = [block for block in blocks(README, "sh") if block.line in lines]
    (example,) = (block for block in blocks(README, "json") if block.line in lines)
    with terminal(tmp_path / "home") as typed:
        said = [typed.type(block) for block in shell]
    decision = next(json.loads(text) for text in said if text.startswith('{"decision_id"'))
    shown = json.loads(example.text)
    assert shown.keys() <= decision.keys()
    assert shown["ask"].keys() <= decision["ask"].keys()
    assert any('"accepted": 1' in text or '"accepted":1' in text for text in said)
    assert said[-1].startswith("Wrote ")
    assert "Funnel of skincare" in said[-1]


@pytest.mark.slow
def test_the_tutorial_leads_to_a_funnel(tmp_path: Path) -> None:
    with terminal(tmp_path / "home") as typed:
        said = [typed.type(block) for block in blocks(TUTORIAL, "sh")]
    assert "good (journey skincare" in said[0]
    decisions = [json.loads(text) for text in said if text.startswith('{"decision_id"')]
    assert [decision["decision_id"] for decision in decisions] == ["d-1", "d-2"]
    assert any(block["guardrail"] == "accepted" for block in decisions[1]["blocked"])
    funnels = [text for text in said if "Funnel of skincare" in text]
    assert "1 episode of 1 visitor" in funnels[0]
    assert re.search(r"Conversion of mature episodes: \d+\.\d+ %", funnels[1])
    assert "sy_server_" in said[-1]
