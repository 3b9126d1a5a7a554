"""Logs through the commands: ``funnel``, ``import`` and ``export``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.catalog import dump_catalog
from data.domain import Decision
from data.log import read_log, write_log
from data.stores.registry import open_store
from data.workspace import Workspace
from tests.conftest import Answer, command_line
from tests.policy.test_importing import CATALOG, busy_log, busy_shop, log_of

Smallyes = Callable[..., Answer]


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    """A workspace with the journey of the busy shop."""
    (workspace.journeys / "skincare.yaml").unlink()
    (workspace.journeys / "shop.yaml").write_text(dump_catalog(CATALOG))
    return workspace


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """The log of a busy shop: merges, deferred decisions, late outcomes, orders."""
    path = tmp_path / "past.parquet"
    write_log(path, [busy_log()])
    return path


def rows_of(path: Path | str) -> pl.DataFrame:
    """The rows of a log file, in an order that does not depend on the file."""
    frame = read_log(path).frame
    return frame.select(sorted(frame.columns)).sort(
        "received_at", "at", "type", "visitor_id", "decision_id", "event_id"
    )


def counted(answer: Answer) -> dict[str, int]:
    """What an import did, without what it did not do."""
    assert answer.code == 0, answer.err
    return {name: n for name, n in answer.json.items() if n}


# import and export


def test_an_empty_store_is_exported_as_an_empty_log(workspace: Workspace, smallyes: Smallyes) -> None:
    answer = smallyes("export", "--out", "log.csv", "--json")
    assert answer.json == {"out": "log.csv", "journey": "skincare", "rows": 0}
    assert Path("log.csv").read_text().startswith("visitor_id,at,received_at,type")


def test_what_was_imported_is_told(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    answer = smallyes("import", "--log", past)
    frame = read_log(past).frame
    n_decisions, n_merges = ((frame["type"] == name).sum() for name in ("shown", "merged"))
    n_events = len(frame) - n_decisions - n_merges
    assert answer.code == 0
    assert answer.out == f"Imported {n_decisions} decisions, {n_events} events and {n_merges} merges.\n"


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson", "csv.gz"])
def test_export_import_export_is_the_same_row_for_row(
    shop: Workspace, smallyes: Smallyes, past: Path, ending: str, tmp_path: Path
) -> None:
    smallyes("import", "--log", past)
    assert smallyes("export", "--out", f"first.{ending}").code == 0
    smallyes("init", tmp_path / "fresh")
    for file in (tmp_path / "fresh" / "journeys").iterdir():
        file.write_bytes((shop.journeys / "shop.yaml").read_bytes())
    fresh = ("--workspace", tmp_path / "fresh")
    assert smallyes("import", "--log", f"first.{ending}", *fresh).code == 0
    assert smallyes("export", "--out", "second.parquet", *fresh).code == 0
    assert rows_of(f"first.{ending}").equals(rows_of("second.parquet"))
    assert rows_of(past).equals(rows_of("second.parquet"))


def test_the_test_log_has_everything_that_is_hard(past: Path) -> None:
    frame = read_log(past).frame
    assert frame.filter(pl.col("type") == "merged").height > 1
    assert frame["shown_at"].drop_nulls().len() > 2
    assert frame.filter(pl.col("received_at") > pl.col("at")).height > 10
    assert frame.filter(pl.col("order_id").is_not_null()).height > 1
    assert frame.filter(pl.col("withheld").list.len() > 0).height > 2


def test_importing_a_log_again_changes_nothing(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    smallyes("import", "--log", past)
    smallyes("export", "--out", "first.csv")
    again = counted(smallyes("import", "--log", past, "--json"))
    assert again == {"n_duplicates": len(read_log(past).frame)}
    smallyes("export", "--out", "second.csv")
    assert rows_of("first.csv").equals(rows_of("second.csv"))


def test_erased_visitors_are_not_brought_back(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    smallyes("import", "--log", past)
    store = open_store(shop.store_url)
    visitor = read_log(past).frame["visitor_id"][0]
    n_erased = store.erase(visitor, 2_000_000_000_000_000)
    gone = store.erased_at(read_log(past).frame["visitor_id"].unique().to_list())
    answer = smallyes("import", "--log", past)
    assert n_erased > 0
    assert "rows of erased visitors were left out" in answer.out
    smallyes("export", "--out", "after.csv")
    assert not set(gone) & set(read_log("after.csv").frame["visitor_id"])


def test_a_clash_of_ids_is_told(shop: Workspace, smallyes: Smallyes) -> None:
    for name, visitor in (("a", "v"), ("b", "w")):
        Path(f"{name}.csv").write_text(f"visitor_id,at,type,ask_id,decision_id\n{visitor},2026-01-01,shown,quiz,1\n")
    smallyes("import", "--log", "a.csv")
    answer = smallyes("import", "--log", "b.csv")
    assert answer.out == (
        "Imported 0 decisions, 0 events and 0 merges; "
        "1 rows were left out whose decision_id names another decision in the store.\n"
    )


def test_what_is_left_out_of_a_log_is_told(shop: Workspace, smallyes: Smallyes) -> None:
    good = [f"v{i},2026-01-01T00:00:{i:02d}Z,shown,quiz" for i in range(30)]
    rows = ["visitor_id,at,type,ask_id", *good, good[0], "w,never,shown,quiz", "w,2026-01-01,declined,quiz"]
    Path("log.csv").write_text("\n".join(rows))
    answer = smallyes("import", "--log", "log.csv")
    assert answer.code == 0
    assert "left out of 33 rows: 1 quarantined, 1 duplicates, 1 set aside" in answer.err
    assert "no open decision showed this ask to this visitor" in answer.err
    assert Path("log.csv.quarantine.parquet").is_file()


def test_a_log_of_another_system_is_imported_with_a_map(shop: Workspace, smallyes: Smallyes) -> None:
    Path("crm.csv").write_text("who,when,what,offer\nv,1767225600,impression,Quiz\nv,1767225660,click,Quiz\n")
    Path("map.yaml").write_text(
        "format: 1\n"
        "columns: {visitor_id: who, at: when, type: what, ask_id: offer}\n"
        "values: {type: {impression: shown, click: accepted}, ask_id: {Quiz: quiz}}\n"
        "times: {at: epoch_s}\n"
    )
    answer = counted(smallyes("import", "--log", "crm.csv", "--map", "map.yaml", "--json"))
    assert answer == {"n_decisions": 1, "n_events": 1}


def test_an_export_is_a_snapshot_while_others_write(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    """Another process goes on importing; every export in between is a log without gaps."""
    smallyes("import", "--log", past)
    write_log("more.parquet", [log_of(busy_shop(6, 400, prefix="m").store)])
    other = subprocess.Popen(command_line("import", "--log", "more.parquet"), cwd=shop.root, stdout=subprocess.DEVNULL)
    try:
        is_over = False
        for number in range(200):
            is_over = other.poll() is not None
            assert smallyes("export", "--out", f"{number}.parquet").code == 0
            frame = read_log(f"{number}.parquet").frame
            answered = frame.filter(pl.col("type").is_in(["accepted", "declined"]))["decision_id"].drop_nulls()
            shown = set(frame.filter(pl.col("type") == "shown")["decision_id"])
            assert set(answered) <= shown
            if is_over:
                break
        assert other.wait(60) == 0
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("out", ["log.xlsx", "log"])
def test_an_export_needs_a_known_format(workspace: Workspace, smallyes: Smallyes, out: str) -> None:
    answer = smallyes("export", "--out", out)
    assert answer.code == 2
    assert "allowed: .parquet .csv .ndjson" in answer.err


def test_an_export_makes_folders_and_replaces_files(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    smallyes("import", "--log", past)
    for _ in range(2):
        assert smallyes("export", "--out", "logs/2026/log.csv").code == 0
    assert [path.name for path in Path("logs/2026").iterdir()] == ["log.csv"]


def test_journeys_that_left_the_workspace_can_still_be_exported(
    shop: Workspace, smallyes: Smallyes, past: Path
) -> None:
    smallyes("import", "--log", past)
    (shop.journeys / "shop.yaml").unlink()
    assert smallyes("export", "--out", "log.csv", "--journey", "shop").code == 0


# funnel


def test_a_funnel_is_shown_for_people(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    answer = smallyes("funnel", "--log", past)
    assert answer.code == 0
    assert answer.out.startswith("Funnel of shop, goal purchase, as of 2026-")
    assert all(part in answer.out for part in ("Ask by ask", "Drop-off", "Direct ask against sequence"))


def test_a_funnel_for_machines_has_the_same_numbers(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    found: dict[str, Any] = smallyes("funnel", "--log", past, "--json").json
    shown = read_log(past).frame.filter(pl.col("type") == "shown", pl.col("ask_id").is_not_null())
    assert sum(ask["shown"] for ask in found["asks"]) == shown.height
    assert found["journey"] == "shop"


def test_a_funnel_takes_globs_and_several_logs(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    frame = read_log(past).frame.sort("received_at")
    Path("logs").mkdir()
    for i, part in enumerate((frame[:50], frame[50:100], frame[100:])):
        part.write_parquet(f"logs/{i}.parquet")
    whole = smallyes("funnel", "--log", past, "--json").json
    for given in (("--log", "logs"), ("--log", "logs/*.parquet"), ("--log", "logs/0.parquet", "--log", "logs/[12].*")):
        assert smallyes("funnel", *given, "--json").json == whole


def test_a_funnel_can_look_back(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    frame = read_log(past).frame.sort("received_at")
    middle = frame["received_at"][len(frame) // 2]
    answer = smallyes("funnel", "--log", past, "--now", middle.isoformat(), "--json")
    assert answer.json["left_out"]["after_now"] == frame.filter(pl.col("received_at") > middle).height


def test_a_funnel_by_segment_names_the_segments(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    assert "mobile" in smallyes("funnel", "--log", past, "--by", "context.device").out


def test_a_segment_that_the_log_does_not_have_is_wrong_use(shop: Workspace, smallyes: Smallyes, past: Path) -> None:
    answer = smallyes("funnel", "--log", past, "--by", "context.weather")
    assert answer.code == 2
    assert "context.weather" in answer.err
    assert "context.device" in answer.err


def test_a_funnel_tells_of_asks_that_the_catalog_does_not_have(
    workspace: Workspace, smallyes: Smallyes, past: Path
) -> None:
    frame = read_log(past).frame.with_columns(journey=pl.lit("skincare"))
    frame.write_parquet("log.parquet")
    answer = smallyes("funnel", "--log", "log.parquet")
    assert answer.code == 0
    assert "asks that the catalog of skincare does not have: email, guide, quiz" in answer.err


@pytest.mark.parametrize("command", ["funnel", "import"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--log", "missing.csv"), "missing.csv: does not exist"),
        (("--log", "no/*.csv"), "no/*.csv"),
        (("--log", "past.csv", "--now", "soon"), "--now: 'soon' is no time"),
        (("--log", "past.csv", "--now", "1999-01-01"), "was received until 1999-01-01"),
        (("--log", "past.csv", "--map", "missing.yaml"), "missing.yaml"),
        (("--log", "past.csv", "--journey", "other"), "no journey 'other'"),
        (("--log", "other.csv"), "has no such row; received shop; allowed: other"),
        (("--log", "empty.csv"), "has no rows; allowed: at least one event"),
    ],
)
def test_a_log_that_cannot_be_used_ends_with_2(
    shop: Workspace, smallyes: Smallyes, command: str, options: tuple[str, ...], said: str
) -> None:
    Path("past.csv").write_text("visitor_id,at,type,ask_id\nv,2026-01-01,shown,quiz\n")
    Path("other.csv").write_text("visitor_id,at,type,ask_id,journey\nv,2026-01-01,shown,quiz,other\n")
    Path("empty.csv").write_text("visitor_id,at,type,ask_id\n")
    answer = smallyes(command, *options)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "\n\n" not in answer.err


def test_too_many_faulty_rows_stop_with_2_and_say_where_they_are(shop: Workspace, smallyes: Smallyes) -> None:
    rows = ["v,2026-01-01,shown,quiz", "v,never,shown,quiz"]
    Path("log.csv").write_text("\n".join(["visitor_id,at,type,ask_id", *rows]))
    answer = smallyes("import", "--log", "log.csv")
    assert answer.code == 2
    assert "1 of 2 rows (50.0%) break the schema; they are in log.csv.quarantine.parquet" in answer.err
    assert open_store(shop.store_url).counts()["decisions"] == 0


# a whole loop


def test_a_simulated_log_goes_round(smallyes: Smallyes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    smallyes("init", "shop")
    monkeypatch.chdir("shop")
    assert smallyes("simulate", "--visitors", 60, "--out", "log.parquet").code == 0
    assert smallyes("import", "--log", "log.parquet").code == 0
    assert smallyes("export", "--out", "out.parquet").code == 0
    assert rows_of("log.parquet").equals(rows_of("out.parquet"))
    assert smallyes("funnel", "--log", "out.parquet").err == ""


def test_decisions_of_an_imported_log_are_decisions_of_the_store(
    shop: Workspace, smallyes: Smallyes, past: Path
) -> None:
    smallyes("import", "--log", past)
    rows = log_of(open_store(shop.store_url))
    assert sum(isinstance(row, Decision) for row in rows) == open_store(shop.store_url).counts()["decisions"]
