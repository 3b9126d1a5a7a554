"""``smallyes ope``: tables in, estimates out, faults by column, row and value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.conftest import Answer
from training.ope import ESTIMATORS, read_table

Smallyes = Callable[..., Answer]
GOOD: dict[str, Any] = {
    "episode": ["a", "a", "b", "c"],
    "step": [0, 1, 0, 0],
    "action": [0, 1, 1, 0],
    "reward": [0.0, 1.0, 1.0, 0.0],
    "propensity": [0.5, 0.5, 0.25, 1.0],
    "target_0": [0.5, 0.0, 0.5, 0.25],
    "target_1": [0.5, 1.0, 0.5, 0.75],
    "q_0": [0.1, 0.2, 0.3, 0.4],
    "q_1": [0.2, 0.4, 0.6, 0.8],
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(name: str = "table.csv", **changes: Any) -> Path:
    frame = pl.DataFrame({key: column for key, column in {**GOOD, **changes}.items() if column is not None})
    path = Path(name)
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_every_estimator_answers_without_a_workspace(smallyes: Smallyes, name: str) -> None:
    answer = smallyes("ope", "--table", table(name), "--json")
    assert (answer.code, answer.err) == (0, "")
    assert set(answer.json) == {*ESTIMATORS, "effective_sample_size", "effective_conversions", "max_weight"}
    assert {"value", "low", "high"} <= set(answer.json["tis"])
    assert answer.json["tis"]["value"] == pytest.approx((2 + 2 + 0) / 3)
    assert answer.json["dm"]["value"] == pytest.approx((0.15 + 0.45 + 0.7) / 3)
    assert answer.json["max_weight"] == 2.0


def test_the_order_of_rows_does_not_matter(smallyes: Smallyes) -> None:
    first = smallyes("ope", "--table", table(), "--json")
    order = [3, 1, 2, 0]
    second = smallyes(
        "ope", "--table", table("table.csv", **{k: [v[i] for i in order] for k, v in GOOD.items()}), "--json"
    )
    assert second.json == first.json


def test_people_get_a_table_with_reasons(smallyes: Smallyes) -> None:
    answer = smallyes("ope", "--table", table())
    assert answer.code == 0
    for text in ("snpdis", "no interval", "one-step tables only", "effective sample size", "too little to rely on"):
        assert text in " ".join(answer.out.split())


def test_discount_tau_and_lambda_are_used(smallyes: Smallyes) -> None:
    assert smallyes("ope", "--table", table(), "--discount", 0, "--json").json["pdis"]["value"] == pytest.approx(2 / 3)
    short: dict[str, Any] = {key: [column[0], *column[2:]] for key, column in GOOD.items()}
    plain = smallyes("ope", "--table", table("table.csv", **short), "--tau", 0, "--lambda", 1e9, "--json").json
    assert plain["switch_dr"]["value"] == pytest.approx(plain["dm"]["value"])
    assert plain["dr_os"]["value"] == pytest.approx(plain["dr"]["value"], rel=1e-6)


def test_clusters_are_taken_by_episode() -> None:
    logged = read_table(table(cluster=["x", "x", "y", "x"]))
    assert logged.cluster is not None
    assert logged.cluster.tolist() == [0, 1, 0]


def test_what_was_not_taken_bounds_the_largest_ratio() -> None:
    logged = read_table(table())
    assert logged.max_ratio is not None
    assert logged.max_ratio[logged.step == 1].tolist() == [2.0]
    assert logged.max_ratio[logged.step == 0].tolist() == pytest.approx([2.0] * 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"propensity": [0.5, 0.0, 0.25, 1.0]}, "propensity: row 2 holds 0.0; allowed: above 0, up to 1"),
        ({"propensity": [0.5, 0.5, 1.25, 1.0]}, "propensity: row 3 holds 1.25"),
        ({"propensity": [0.5, 0.5, None, 1.0]}, "propensity: row 3 is empty"),
        ({"target_0": [0.5, 0.0, 0.5, 0.5]}, "target_0 to target_1: row 4 sums to 1.25"),
        ({"target_1": [0.5, 1.0, -0.5, 0.75]}, "target_1: row 3 holds -0.5"),
        ({"step": [0, 2, 0, 0]}, "step 1 of episode 'a' is missing"),
        ({"step": [1, 2, 0, 0]}, "step 0 of episode 'a' is missing"),
        ({"step": [0, 0, 0, 0]}, "step 0 of episode 'a' is there twice"),
        ({"step": [0.0, 1.5, 0.0, 0.0]}, "step: row 2 holds 1.5; allowed: a whole number"),
        ({"action": [0, 2, 1, 0]}, "action: row 2 holds 2; allowed: 0 to 1"),
        ({"action": [0, -1, 1, 0]}, "action: row 2 holds -1"),
        ({"reward": [0.0, float("nan"), 1.0, 0.0]}, "reward: row 2 holds nan"),
        ({"reward": [0.0, 1e300, 1.0, 0.0]}, "reward: row 2 holds 1e+300"),
        ({"reward": ["0", "one", "1", "0"]}, "reward: row 2 holds 'one'; allowed: a number"),
        ({"q_1": [0.2, float("inf"), 0.6, 0.8]}, "q_1: row 2 holds inf"),
        ({"q_1": None}, "q_1: is missing"),
        ({"target_3": [0.0, 0.0, 0.0, 0.0]}, "target_3: has no place"),
        ({"reward": None}, "reward: there is no such column"),
        ({"target_0": None}, "target_0: there is no such column"),
        ({"cluster": ["x", "z", "y", "x"]}, "cluster: row 2 holds 'z'"),
        ({key: [] for key in GOOD}, "the table is empty"),
    ],
)
@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_bad_table_is_told_by_column_row_and_value(
    smallyes: Smallyes, name: str, changes: dict[str, Any], message: str
) -> None:
    answer = smallyes("ope", "--table", table(name, **changes))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"smallyes: {name}: ")
    assert message in answer.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no such file"),
        ("log.txt", b"a", "allowed: .parquet or .csv"),
        ("broken.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("empty.csv", b"", "cannot be read as csv"),
    ],
)
def test_a_file_that_is_no_table_is_refused(smallyes: Smallyes, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    answer = smallyes("ope", "--table", name)
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("option", [("--discount", "1.5"), ("--tau", "-1"), ("--lambda", "nan"), ("--discount", "nan")])
def test_options_out_of_range_are_refused(smallyes: Smallyes, option: tuple[str, str]) -> None:
    answer = smallyes("ope", "--table", table(), *option)
    assert answer.code == 2
    assert option[0] in answer.err


def test_a_greedy_policy_on_a_uniform_log_without_a_match_has_no_estimate(smallyes: Smallyes) -> None:
    rng = np.random.default_rng(1)
    actions = rng.integers(0, 2, 60)
    columns: dict[str, Any] = {
        "episode": list(range(60)),
        "step": [0] * 60,
        "action": actions.tolist(),
        "reward": np.where((actions == 1) & (rng.random(60) < 0.2), 1.0, 0.0).tolist(),
        "propensity": [0.5] * 60,
        "target_0": [1.0] * 60,
        "target_1": [0.0] * 60,
        "q_0": None,
        "q_1": None,
    }
    found = smallyes("ope", "--table", table(**columns), "--json").json["snips"]
    assert (found["value"], found["low"], found["high"]) == (None, None, None)
    assert found["reason"].startswith("no estimate")
