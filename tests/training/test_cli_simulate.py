"""``smallyes simulate``: repeatable logs, in every format, of every policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from data.catalog import load_folder
from data.domain import Catalog
from data.log import read_log
from policy.bundle import save_bundle
from policy.explorers import Greedy
from policy.following import Pointed, publish_pointer
from policy.scorers import ConstantScorer
from tests.conftest import Answer

Smallyes = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def simulated(smallyes: Smallyes, out: str = "log.parquet", *options: object) -> pl.DataFrame:
    answer = smallyes("simulate", "--visitors", 40, "--out", out, *options)
    assert answer.code == 0, answer.err
    return read_log(out).frame


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_the_same_seed_gives_the_same_bytes(smallyes: Smallyes, ending: str) -> None:
    for name in ("first", "second"):
        simulated(smallyes, f"{name}.{ending}", "--seed", 7)
    assert Path(f"first.{ending}").read_bytes() == Path(f"second.{ending}").read_bytes()


def test_another_seed_gives_another_log(smallyes: Smallyes) -> None:
    assert not simulated(smallyes, "a.csv", "--seed", 1).equals(simulated(smallyes, "b.csv", "--seed", 2))


def test_every_format_holds_the_same_log(smallyes: Smallyes) -> None:
    frames = [simulated(smallyes, f"log.{ending}") for ending in ("parquet", "csv", "ndjson")]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_it_needs_no_workspace_and_leaves_nothing_but_the_log(smallyes: Smallyes) -> None:
    simulated(smallyes)
    assert [path.name for path in Path().iterdir()] == ["log.parquet"]


@pytest.mark.parametrize(
    ("policy", "labels"),
    [
        ("random", {"holdout:random"}),
        ("baseline", {"holdout:baseline"}),
        ("direct", {"holdout:direct"}),
        ("day-zero", {"baseline"}),
    ],
)
def test_every_policy_signs_its_decisions(smallyes: Smallyes, policy: str, labels: set[str]) -> None:
    shown = simulated(smallyes, "log.parquet", "--policy", policy).filter(pl.col("type") == "shown")
    assert set(shown["policy"]) == labels
    assert shown["propensity"].null_count() == 0


def test_random_asks_every_eligible_ask_alike(smallyes: Smallyes) -> None:
    shown = simulated(smallyes, "log.parquet", "--policy", "random").filter(pl.col("type") == "shown")
    assert shown.filter(pl.col("propensity") != 1 / pl.col("eligible").list.len()).is_empty()


def test_direct_asks_for_the_goal_or_nothing(smallyes: Smallyes) -> None:
    shown = simulated(smallyes, "log.parquet", "--policy", "direct").filter(pl.col("type") == "shown")
    assert set(shown["ask_id"]) <= {"purchase", None}


def test_another_world_is_another_journey(smallyes: Smallyes) -> None:
    assert set(simulated(smallyes, "log.csv", "--world", "no_effects")["journey"]) == {"no_effects"}


def test_time_begins_where_it_is_told_to(smallyes: Smallyes) -> None:
    frame = simulated(smallyes, "log.csv", "--start", "2025-03-01T08:00:00Z")
    assert str(frame["at"].min()).startswith("2025-03-01 08:")


def test_the_log_is_of_the_journey_that_a_workspace_starts_with(smallyes: Smallyes) -> None:
    smallyes("init", "shop")
    simulated(smallyes)
    answer = smallyes("validate", "log.parquet", "--workspace", "shop")
    assert answer.code == 0
    assert "warning" not in answer.out


def test_it_tells_people_what_came_of_it(smallyes: Smallyes) -> None:
    text = smallyes("simulate", "--visitors", 40, "--out", "log.csv").out
    assert text.startswith("Wrote ")
    assert "of 40 visitors to log.csv" in text
    assert "95 % interval" in text


def test_it_tells_machines_the_truth(smallyes: Smallyes) -> None:
    answer = smallyes("simulate", "--visitors", 40, "--out", "log.csv", "--seed", 3, "--json").json
    assert answer["rows"] == len(read_log("log.csv").frame)
    assert {name: answer[name] for name in ("out", "world", "policy", "seed", "visitors")} == {
        "out": "log.csv",
        "world": "skincare",
        "policy": "day-zero",
        "seed": 3,
        "visitors": 40,
    }
    assert answer["conversion"]["low"] <= answer["conversion"]["value"] <= answer["conversion"]["high"]


# the champion


@pytest.fixture
def catalog(smallyes: Smallyes, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    smallyes("init", "shop")
    monkeypatch.chdir("shop")
    return load_folder("journeys")["skincare"]


def go_live(catalog: Catalog) -> Path:
    """Makes a policy that likes the poll best the champion."""
    scorer = ConstantScorer((), {"concern_poll": 1.0}, default_value=0.1, default_p_accept=0.2, nothing=0.0)
    folder = Path("var/policies/one")
    digest = save_bundle(folder, scorer=scorer, explorer=Greedy(floor=0.1), catalog=catalog, spec=None, info={})
    publish_pointer(Path("var/policies"), "skincare", champion=Pointed("1", "one", digest))
    return folder


def test_the_champion_of_the_workspace_can_decide(smallyes: Smallyes, catalog: Catalog) -> None:
    go_live(catalog)
    shown = simulated(smallyes, "log.parquet", "--policy", "champion").filter(pl.col("type") == "shown")
    assert {label for label in shown["policy"] if not label.startswith("holdout:")} == {"champion:1"}


def test_without_a_champion_it_says_so(smallyes: Smallyes, catalog: Catalog) -> None:
    answer = smallyes("simulate", "--visitors", 5, "--policy", "champion", "--out", "log.csv")
    assert answer.code == 2
    assert "has no live champion for 'skincare'" in answer.err


def test_a_damaged_champion_is_not_used_and_the_reason_is_told(smallyes: Smallyes, catalog: Catalog) -> None:
    (go_live(catalog) / "policy.json").write_text("{}")
    answer = smallyes("simulate", "--visitors", 5, "--policy", "champion", "--out", "log.csv")
    assert answer.code == 2
    assert "policy.json" in answer.err


def test_a_champion_for_another_catalog_is_told(smallyes: Smallyes, catalog: Catalog) -> None:
    go_live(catalog)
    file = Path("journeys/skincare.yaml")
    file.write_text(file.read_text().replace("concern_poll", "other_poll"))
    answer = smallyes("simulate", "--visitors", 5, "--policy", "champion", "--out", "log.csv")
    assert answer.code == 2
    assert "is not in the catalog of skincare" in answer.err


# wrong use


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--world", "mars", "--out", "x.csv"), "received 'mars'; allowed: skincare, no_effects"),
        (("--out", "x.xlsx"), "is of no known format; received .xlsx"),
        (("--start", "soon", "--out", "x.csv"), "--start: 'soon' is no time"),
        (("--seed", "-1", "--out", "x.csv"), "'--seed'"),
    ],
)
def test_wrong_options_are_told(smallyes: Smallyes, options: tuple[str, ...], said: str) -> None:
    answer = smallyes("simulate", "--visitors", 5, *options)
    assert answer.code == 2
    assert said in answer.err
    assert not list(Path().iterdir())


def test_json_of_the_log_is_json_on_every_line(smallyes: Smallyes) -> None:
    simulated(smallyes, "log.ndjson")
    rows = [json.loads(line) for line in Path("log.ndjson").read_text().splitlines()]
    assert {row["type"] for row in rows} >= {"shown", "accepted", "signal"}
