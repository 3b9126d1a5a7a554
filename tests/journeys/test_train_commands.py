"""From a log to a live version and back, by commands alone, as a data scientist types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from data.catalog import dump_catalog
from policy import load
from policy.following import read_pointer
from policy.registry import Registry
from tests.conftest import command_line
from tests.serving.shops import make_workspace
from tests.training.logs import CATALOG, day_zero_log

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A workspace with a log beside it, and two versions that were trained at the same time."""
    root = tmp_path_factory.mktemp("train")
    workspace = make_workspace(root / "shop", dump_catalog(CATALOG))
    day_zero_log(1_200, 7).write_parquet(root / "log.parquet")
    Registry.create(workspace)
    line = command_line("train", "--log", root / "log.parquet", "--learner", "behavior", *at(workspace))
    running = [
        subprocess.Popen([*line, "--seed", seed], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in ("1", "2")
    ]
    told = [process.communicate(timeout=200) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    return workspace, root, [json.loads(out) for out, _ in told]


def at(workspace) -> list[str]:
    return ["--workspace", str(workspace.root), "--json"]


def test_two_trainers_at_once_register_a_whole_version_each(shop):
    workspace, _, told = shop
    assert sorted(one["version"] for one in told) == [1, 2]
    for version in Registry.open(workspace).versions(CATALOG.journey):
        assert {"gate", "value", "value_low", "value_high", "log_digest", "trial_share"} <= version.tags.keys()
        assert version.digest


def test_the_answer_holds_what_contract_and_user_need(shop):
    _, _, told = shop
    one = told[0]
    assert one["gate"] in ("better", "worse", "not enough evidence")
    assert one["value"].keys() >= {"value", "low", "high"}
    assert one["policies"].keys() == {"baseline", "direct", "random"}
    assert one["effective_sample_size"] > 0


def test_promote_asks_the_gate_and_rollback_goes_back(shop, smallyes, tmp_path: Path):
    workspace, _, told = shop
    assert all(one["gate"] != "better" for one in told)
    refused = smallyes("promote", "--version", "1", *at(workspace))
    assert (refused.code, refused.json["done"]) == (1, False)
    assert "--trial 0.1" in refused.err
    assert smallyes("promote", "--version", "1", "--force", *at(workspace)).code == 0
    assert read_pointer(workspace.policies, CATALOG.journey).champion.version == "1"
    pulled = smallyes("pull", "--version", "champion", "--out", str(tmp_path / "bundle"), *at(workspace))
    assert pulled.code == 0
    decision = load(tmp_path / "bundle", secret="s").next_ask({"visitor_id": "v", "history": [], "trace": True})
    assert decision["propensity"] > 0
    assert sum(one["propensity"] for one in decision["candidates"]) == pytest.approx(1.0)
    assert smallyes("promote", "--version", "2", "--force", *at(workspace)).code == 0
    assert smallyes("rollback", *at(workspace)).json["champion"] == 1


def test_evaluate_says_how_much_the_log_can_tell(shop, smallyes):
    workspace, root, _ = shop
    log = ["--log", str(root / "log.parquet"), *at(workspace)]
    random = smallyes("evaluate", "--policy", "random", *log).json
    assert random["low"] < 0.0448 < random["high"]  # as in benchmarks/RESULTS.md
    version = smallyes("evaluate", "--policy", "2", *log).json
    assert any("this very log trained the policy" in note for note in version["notes"])
    wrong = smallyes("evaluate", "--policy", "best", *log)
    assert wrong.code == 2
    assert "allowed: champion, challenger, baseline, direct, random, or a version" in wrong.err
    assert smallyes("evaluate", "--policy", "9", *log).code == 2


def test_an_unknown_learner_is_refused_before_anything_is_read(shop, smallyes):
    workspace, _, _ = shop
    answer = smallyes("train", "--log", "nowhere.parquet", "--learner", "clever", *at(workspace))
    assert answer.code == 2
    assert "there is no learner 'clever'; allowed: planned, cautious, behavior" in answer.err
