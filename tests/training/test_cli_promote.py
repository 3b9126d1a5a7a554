"""``promote``, ``rollback`` and ``pull`` on a real registry."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import policy
from data.workspace import Workspace
from policy.following import read_pointer
from policy.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry
from tests.conftest import Answer
from tests.policy.registries import add_version, registry_workspace

_numbers = itertools.count(1)
_JOURNEYS = [f"journey_{number}" for number in range(1, 40)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return registry_workspace(tmp_path_factory.mktemp("promote") / "shop", *_JOURNEYS)


@dataclass
class Shop:
    """A journey of its own in a workspace that others share."""

    workspace: Workspace
    journey: str
    smallyes: Callable[..., Answer]
    scratch: Path

    def __post_init__(self) -> None:
        self.registry = Registry.open(self.workspace)

    def run(self, *arguments: object) -> Answer:
        return self.smallyes(*arguments, "--workspace", self.workspace.root, "--journey", self.journey)

    def add(self, gate: str | None = "better", judged_against: str = "day zero", **tags: str) -> int:
        """A new version that is the challenger."""
        given = {"judged_against": judged_against, **tags} | ({} if gate is None else {"gate": gate})
        version = add_version(self.registry, self.scratch, self.journey, **given).version
        self.registry.set_alias(self.journey, CHALLENGER, version)
        return version

    def tags(self, version: int) -> dict[str, str]:
        return dict(self.registry.version(self.journey, version).tags)

    @property
    def aliases(self) -> dict[str, int]:
        model = self.registry.model(self.journey)
        return {} if model is None else dict(model.aliases)

    @property
    def live(self) -> tuple[str | None, tuple[str, float] | None]:
        """What the pointer names: champion, and challenger with its share."""
        pointer = read_pointer(self.workspace.policies, self.journey)
        challenger = pointer.challenger
        return pointer.champion and pointer.champion.version, challenger and (challenger.version, challenger.share)


@pytest.fixture
def shop(workspace: Workspace, smallyes: Callable[..., Answer], tmp_path: Path) -> Shop:
    return Shop(workspace, f"journey_{next(_numbers)}", smallyes, tmp_path / "scratch")


def test_a_better_challenger_becomes_the_champion(shop: Shop) -> None:
    shop.add()
    answer = shop.run("promote")
    assert answer.code == 0
    assert "Version 1 is the champion now, after day zero" in answer.out
    assert "within 2 s, one on another machine within 7 s" in answer.out
    assert shop.aliases == {CHAMPION: 1}
    assert shop.live == ("1", None)
    tags = shop.tags(1)
    assert (tags["promoted_by"], tags["trial_share"]) == ("gate", "0")
    assert tags["promoted_at"].endswith("Z")


def test_the_old_champion_is_remembered(shop: Shop) -> None:
    shop.add()
    shop.run("promote")
    shop.add(judged_against="1")
    answer = shop.run("promote", "--json").json
    assert answer == {
        "done": True, "journey": shop.journey, "champion": 2, "challenger": None, "trial_share": 0.0,
        "previous": 1, "pointer_changed": True, "follows_within_s": 2.0,
    }  # fmt: skip
    assert shop.aliases == {CHAMPION: 2, PREVIOUS: 1}


@pytest.mark.parametrize("gate", ["worse", "not enough evidence"])
def test_a_verdict_that_is_no_yes_is_exit_1_in_plain_words(shop: Shop, gate: str) -> None:
    shop.add(gate, gate_reason="12 conversions are too few.")
    answer = shop.run("promote")
    assert answer.code == 1
    assert f"the gate says {gate}: 12 conversions are too few" in answer.err
    assert ("smallyes promote --version 1 --trial 0.1" in answer.err) == (gate != "worse")
    assert shop.aliases == {CHALLENGER: 1}
    assert shop.live == (None, None)


def test_a_refusal_is_json_too(shop: Shop) -> None:
    shop.add("worse", gate_reason="it loses")
    answer = shop.run("promote", "--json")
    assert answer.code == 1
    assert answer.json == {"done": False, "version": 1, "gate": "worse", "reason": "the gate says worse: it loses"}


def test_a_version_that_was_never_judged_is_refused(shop: Shop) -> None:
    shop.add(None)
    answer = shop.run("promote")
    assert (answer.code, "never judged" in answer.err) == (1, True)


def test_a_verdict_against_another_champion_is_stale(shop: Shop) -> None:
    shop.add()
    shop.add(judged_against="day zero")
    shop.run("promote", "--version", 1)
    answer = shop.run("promote", "--version", 2)
    assert answer.code == 1
    assert "stale: it was judged against day zero, and the champion is version 1 now" in answer.err
    assert shop.aliases[CHAMPION] == 1


def test_force_promotes_and_says_what_it_overrode(shop: Shop) -> None:
    shop.add("worse", gate_reason="it loses")
    answer = shop.run("promote", "--force")
    assert answer.code == 0
    assert "Overridden with --force: the gate says worse: it loses" in answer.out
    assert shop.tags(1)["promoted_by"] == "force"
    assert shop.live == ("1", None)


def test_force_that_overrides_nothing_is_the_gate(shop: Shop) -> None:
    shop.add()
    assert "Overridden" not in shop.run("promote", "--force").out
    assert shop.tags(1)["promoted_by"] == "gate"


def test_promoting_the_champion_changes_nothing(shop: Shop) -> None:
    shop.add()
    shop.run("promote")
    before = shop.aliases, shop.tags(1)
    answer = shop.run("promote", "--version", 1)
    assert (answer.code, "nothing changed" in answer.out) == (0, True)
    assert (shop.aliases, shop.tags(1)) == before


def test_another_version_than_the_challenger_can_be_promoted(shop: Shop) -> None:
    shop.add()
    shop.add()
    shop.run("promote", "--version", 1)
    assert shop.aliases == {CHAMPION: 1, CHALLENGER: 2}


def test_a_trial_serves_a_share_without_a_verdict(shop: Shop) -> None:
    shop.add("not enough evidence")
    answer = shop.run("promote", "--trial", 0.1)
    assert answer.code == 0
    assert "serves 10 % of the visitors" in answer.out
    assert shop.live == (None, ("1", 0.1))
    assert shop.tags(1)["trial_started_at"].endswith("Z")


def test_a_trial_of_what_was_judged_worse_needs_force(shop: Shop) -> None:
    shop.add("worse")
    assert shop.run("promote", "--trial", 0.1).code == 1
    assert shop.live == (None, None)
    answer = shop.run("promote", "--trial", 0.1, "--force")
    assert (answer.code, "Overridden" in answer.out) == (0, True)
    assert shop.live == (None, ("1", 0.1))


def test_a_trial_of_another_version_ends_the_first(shop: Shop) -> None:
    shop.add("not enough evidence")
    shop.add("not enough evidence")
    shop.run("promote", "--version", 1, "--trial", 0.2)
    shop.run("promote", "--version", 2, "--trial", 0.3)
    assert shop.live == (None, ("2", 0.3))
    assert shop.tags(1)["trial_share"] == "0"


def test_a_trial_ends_with_share_0(shop: Shop) -> None:
    shop.add()
    shop.run("promote", "--trial", 0.1)
    assert "The trial of version 1 is over" in shop.run("promote", "--trial", 0).out
    assert shop.live == (None, None)
    assert shop.aliases == {CHALLENGER: 1}
    answer = shop.run("promote", "--trial", 0)
    assert (answer.code, "No trial is running" in answer.out) == (0, True)


def test_a_large_share_is_told(shop: Shop) -> None:
    shop.add()
    assert "more than half" in shop.run("promote", "--trial", 0.8).out


@pytest.mark.parametrize("share", ["1", "-0.1", "nan", "inf"])
def test_a_share_that_is_none_is_wrong_use(shop: Shop, share: str) -> None:
    shop.add()
    answer = shop.run("promote", "--trial", share)
    assert answer.code == 2
    assert "must be a share of visitors above 0 and below 1" in answer.err


def test_the_champion_cannot_be_on_trial(shop: Shop) -> None:
    shop.add()
    shop.run("promote")
    assert shop.run("promote", "--version", 1, "--trial", 0.1).code == 2


def test_a_challenger_on_trial_becomes_the_champion_of_everybody(shop: Shop) -> None:
    shop.add()
    shop.run("promote", "--trial", 0.5)
    shop.run("promote")
    assert shop.live == ("1", None)
    assert shop.tags(1)["trial_share"] == "0"


@pytest.mark.parametrize(("arguments", "words"), [((), "nothing is registered"), (("--version", 9), "nothing is")])
def test_without_any_version_it_says_how_to_make_one(shop: Shop, arguments: Any, words: str) -> None:
    answer = shop.run("promote", *arguments)
    assert answer.code == 2
    assert words in answer.err
    assert "smallyes train" in answer.err


def test_without_a_challenger_it_names_the_versions(shop: Shop) -> None:
    shop.add()
    shop.run("promote")
    answer = shop.run("promote")
    assert answer.code == 2
    assert "has no challenger; name a version with --version; there are: 1" in answer.err
    assert "there are: 1" in shop.run("promote", "--version", 9).err


def test_a_version_whose_artifact_is_gone_is_not_promoted(shop: Shop) -> None:
    shop.add()
    shutil.rmtree(shop.registry.version(shop.journey, 1).source)
    answer = shop.run("promote")
    assert answer.code == 3
    assert "its artifact is gone" in answer.err
    assert shop.aliases == {CHALLENGER: 1}


# rollback


def test_rollback_swaps_champion_and_previous(shop: Shop) -> None:
    shop.add()
    shop.run("promote")
    shop.add(judged_against="1")
    shop.run("promote")
    answer = shop.run("rollback")
    assert (answer.code, "Version 1 is live again, after version 2" in answer.out) == (0, True)
    assert shop.aliases == {CHAMPION: 1, PREVIOUS: 2}
    assert shop.live == ("1", None)
    assert shop.tags(1)["promoted_by"] == "rollback"
    shop.run("rollback")
    assert shop.aliases == {CHAMPION: 2, PREVIOUS: 1}


def test_rollback_goes_to_day_zero_and_back(shop: Shop) -> None:
    shop.add()
    shop.run("promote")
    answer = shop.run("rollback", "--json").json
    assert (answer["champion"], answer["previous"]) == (None, 1)
    assert shop.live == (None, None)
    answer = shop.run("rollback", "--json").json
    assert (answer["champion"], answer["previous"]) == (1, "day zero")
    assert shop.live == ("1", None)


def test_rollback_ends_a_trial(shop: Shop) -> None:
    shop.add()
    shop.run("promote")
    shop.add("not enough evidence", judged_against="1")
    shop.run("promote", "--trial", 0.1)
    assert shop.live == ("1", ("2", 0.1))
    shop.run("rollback")
    assert shop.live == (None, None)
    assert shop.tags(2)["trial_share"] == "0"


def test_rollback_without_a_past_is_exit_1(shop: Shop) -> None:
    shop.add()
    answer = shop.run("rollback")
    assert (answer.code, "nothing to roll back to" in answer.err) == (1, True)


# pull


def test_pull_writes_what_decides_alike(shop: Shop, tmp_path: Path) -> None:
    shop.add()
    shop.run("promote")
    answer = shop.run("pull", "--out", tmp_path / "out", "--json").json
    assert (answer["version"], answer["digest"]) == (1, shop.tags(1)["bundle_digest"])
    decision = policy.load(tmp_path / "out").next_ask({"visitor_id": "v", "history": []})
    assert decision["journey"] == shop.journey


def test_pull_takes_numbers_and_aliases(shop: Shop, tmp_path: Path) -> None:
    shop.add()
    assert shop.run("pull", "--version", "1", "--out", tmp_path / "1").code == 0
    assert shop.run("pull", "--version", "challenger", "--out", tmp_path / "2").code == 0
    assert "has no champion now; versions: 1" in shop.run("pull", "--out", tmp_path / "3").err
    assert "must be a number or one of" in shop.run("pull", "--version", "best", "--out", tmp_path / "3").err
    answer = shop.run("pull", "--version", "1", "--out", tmp_path / "1")
    assert (answer.code, "exists already" in answer.err) == (2, True)
