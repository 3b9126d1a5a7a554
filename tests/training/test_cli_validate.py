"""``smallyes validate``: every fault of catalogs and logs in plain words, and an exit code for machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from data.workspace import Workspace
from tests.conftest import Answer

Smallyes = Callable[..., Answer]
HEAD = "visitor_id,at,type,ask_id,propensity,eligible,event_id"
GOOD = [f"v{i},2026-01-01T10:00:{i:02d}Z,shown,skin_quiz,0.5,skin_quiz|routine_guide,e{i}" for i in range(40)]
SMALL = """\
format: 1
journey: small
goal: buy
baseline: [buy]
asks:
  - {id: buy, title: Buy, kind: purchase, effort: 8}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def log(*rows: str, name: str = "log.csv", head: str = HEAD) -> Path:
    path = Path(name)
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def catalog(text: str, name: str = "journey.yaml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


# what is good


def test_a_good_catalog_is_told_in_one_line(smallyes: Smallyes) -> None:
    answer = smallyes("validate", catalog(SMALL))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "journey.yaml: good (journey small: 1 ask, goal buy)\n"


def test_a_journey_of_200_asks_is_good(smallyes: Smallyes) -> None:
    asks = "".join(f"  - {{id: ask_{i}, title: Ask {i}, kind: click, effort: 1}}\n" for i in range(199))
    assert smallyes("validate", catalog(SMALL + asks)).code == 0


def test_a_good_log_is_told_in_one_line(smallyes: Smallyes) -> None:
    answer = smallyes("validate", log(*GOOD))
    assert (answer.code, answer.out, answer.err) == (0, "log.csv: good (40 good rows of 40)\n", "")


def test_a_log_of_several_journeys_is_checked_for_each(smallyes: Smallyes) -> None:
    rows = [f"{'autumn' if i % 2 else 'winter'},{row}" for i, row in enumerate(GOOD)]
    answer = smallyes("validate", log(*rows, head=f"journey,{HEAD}"))
    assert answer.out == "log.csv: good (40 good rows of journeys autumn, winter of 40)\n"


@pytest.mark.parametrize(
    "row",
    [
        "x,2026-01-01T12:00:00+02:00,shown,skin_quiz,0.5,skin_quiz,z",
        "x,2026-01-01 12:00:00,shown,skin_quiz,0.5,skin_quiz,z",
        "x,2026-01-01,shown,skin_quiz,0.5,skin_quiz,z",
        "né🙂 \u202e,2026-01-01T12:00:00Z,shown,skin_quiz,1,skin_quiz|,z",
        "x,2020-01-01T12:00:00Z,shown,,1,,z",
        GOOD[3],
    ],
    ids=["zone", "naive", "date", "unicode", "nothing asked, out of order", "duplicate"],
)
def test_what_looks_odd_and_is_allowed_is_no_fault(smallyes: Smallyes, row: str) -> None:
    answer = smallyes("validate", log(*GOOD, row))
    assert (answer.code, answer.out) == (0, "log.csv: good (41 good rows of 41)\n")


def test_a_map_file_tells_how_to_read_a_foreign_log(smallyes: Smallyes) -> None:
    foreign = log("a,2026-01-01,impression,quiz", head="who,when,what,offer")
    Path("map.yaml").write_text(
        "format: 1\n"
        "columns: {visitor_id: who, at: when, type: what, ask_id: offer}\n"
        "values: {type: {impression: shown}}\n"
    )
    assert smallyes("validate", foreign).code == 1
    assert smallyes("validate", foreign, "--map", "map.yaml").code == 0


def test_without_files_the_catalogs_of_the_workspace_are_checked(workspace: Workspace, smallyes: Smallyes) -> None:
    answer = smallyes("validate")
    assert answer.code == 0
    assert answer.out.startswith(f"{workspace.journeys / 'skincare.yaml'}: good")


# what is wrong


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,yesterday,shown,skin_quiz,0.5,skin_quiz,z", "at is no time: yesterday"),
        ("x,2026-02-30,shown,skin_quiz,0.5,skin_quiz,z", "at is no time: 2026-02-30"),
        ("x,2126-01-01,shown,skin_quiz,0.5,skin_quiz,z", "in the future"),
        ("x,2026-01-01,shown,skin_quiz,0,skin_quiz,z", "propensity is 0.0; allowed: greater than 0 and at most 1"),
        ("x,2026-01-01,shown,skin_quiz,1.3,skin_quiz,z", "propensity is 1.3; allowed: greater than 0 and at most 1"),
        ("x,2026-01-01,shown,skin_quiz,NaN,skin_quiz,z", "propensity is NaN; allowed: greater than 0 and at most 1"),
        ("x,2026-01-01,shown,skin_quiz,high,skin_quiz,z", "propensity is no number: high"),
        ("x,2026-01-01,shown,skin_quiz,0.5,wishlist,z", "it lacks what was shown: skin_quiz"),
        ("x,2026-01-01,seen,skin_quiz,0.5,skin_quiz,z", "type is seen; allowed: shown, accepted"),
        (f"{'x' * 257},2026-01-01,shown,skin_quiz,0.5,skin_quiz,z", "visitor_id has 257 bytes; allowed: at most 256"),
        (",2026-01-01,shown,skin_quiz,0.5,skin_quiz,z", "visitor_id is missing"),
        ("x,2026-01-01,shown", "the row has 3 fields"),
    ],
)
def test_a_faulty_row_is_told_with_its_number_and_its_reason(smallyes: Smallyes, row: str, said: str) -> None:
    answer = smallyes("validate", log(*GOOD, row))
    assert answer.code == 1
    first, fault = answer.out.splitlines()
    assert first == "log.csv: 1 fault"
    assert fault.startswith("  - row 41: refused: ")
    assert said in fault


def test_rows_with_one_reason_are_one_fault(smallyes: Smallyes) -> None:
    rows = ["x,2026-01-01,shown,skin_quiz,1.3,skin_quiz,"] * 2
    assert "  - row 41 and 1 more: refused: propensity is 1.3" in smallyes("validate", log(*GOOD, *rows)).out


def test_many_faulty_rows_refuse_the_log_and_write_nothing(smallyes: Smallyes) -> None:
    rows = ["x,yesterday,shown,skin_quiz,0.5,skin_quiz,z"] * 10
    answer = smallyes("validate", log(*GOOD, *rows))
    assert answer.code == 1
    assert "10 of 50 rows (20.0%) break the schema" in answer.out
    assert "row 41: at is no time: yesterday" in answer.out
    assert [path.name for path in Path().iterdir()] == ["log.csv"]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("empty.csv", b"", "has no rows"),
        ("head.csv", HEAD.encode() + b"\n", "has no rows"),
        ("columns.csv", b"at,type\n2026-01-01,left\n", "visitor_id: required column missing"),
        ("twice.csv", b"at,at,visitor_id,type\n1,2,3,4\n", "at: is a column twice"),
        ("text.parquet", b"no parquet at all", "is damaged or no Parquet file"),
        (
            "lines.ndjson",
            b'{"visitor_id": "v", "at": "2026-01-01", "type": "left"}\n' + b"{no json\n" * 30,
            "the line is no JSON object",
        ),
        ("table.xlsx", b"", "is of no known format"),
    ],
)
def test_a_file_that_is_no_log_is_told(smallyes: Smallyes, file: str, content: bytes, said: str) -> None:
    Path(file).write_bytes(content)
    answer = smallyes("validate", file)
    assert answer.code == 1
    assert said in answer.out


def test_columns_of_wrong_types_are_told(smallyes: Smallyes) -> None:
    frame = pl.DataFrame({"visitor_id": ["v"] * 3, "at": [True] * 3, "type": ["shown"] * 3, "ask_id": ["quiz"] * 3})
    frame.write_parquet("log.parquet")
    answer = smallyes("validate", "log.parquet")
    assert answer.code == 1
    assert "at is no time: true" in answer.out


@pytest.mark.parametrize("file", ["missing.yaml", "missing.csv"])
def test_a_file_that_is_not_there_is_told(smallyes: Smallyes, file: str) -> None:
    answer = smallyes("validate", file)
    assert answer.code == 1
    assert answer.out.startswith(f"{file}: 1 fault")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a: [", "opens a quote or a bracket that is not closed"),
        ("- 1", "has no fields at its top level"),
        (SMALL.replace("effort: 8", "efort: 8"), "asks[0].efort: is an unknown field; did you mean effort?"),
        (
            SMALL.replace("effort: 8", "effort: 11"),
            "asks[0].effort: is too large (line 6); received 11; allowed: a num",
        ),
        (SMALL.replace("goal: buy", "goal: sell"), "goal: is no ask of this catalog"),
        (SMALL.replace("journey: small", "journey: Küche"), "journey: is no name"),
        (SMALL + "limits: {max_effort_step: 4}\n", "the goal buy cannot be reached even when everything is accepted"),
    ],
)
def test_a_faulty_catalog_is_told_with_place_and_remedy(smallyes: Smallyes, text: str, said: str) -> None:
    answer = smallyes("validate", catalog(text))
    assert answer.code == 1
    assert said in answer.out


def test_every_fault_of_every_file_is_in_one_report(smallyes: Smallyes) -> None:
    first = catalog(SMALL.replace("effort: 8", "effort: 80").replace("kind: purchase", "kind: sale"), "a.yaml")
    second = log(*GOOD, "x,yesterday,shown,skin_quiz,1.3,skin_quiz,z")
    answer = smallyes("validate", second, first)
    assert answer.code == 1
    assert [line for line in answer.out.splitlines() if line[0] != " "] == ["a.yaml: 2 faults", "log.csv: 1 fault"]


def test_two_files_of_one_journey_are_a_fault(workspace: Workspace, smallyes: Smallyes) -> None:
    (workspace.journeys / "more.yaml").write_text((workspace.journeys / "skincare.yaml").read_text())
    answer = smallyes("validate")
    assert answer.code == 1
    assert "allowed: one file a journey" in answer.out


# what is doubtful


def test_an_ask_that_the_catalog_does_not_have_is_a_warning(workspace: Workspace, smallyes: Smallyes) -> None:
    rows = [f"skincare,{row}" for row in GOOD]
    file = log(*rows, "skincare,x,2026-01-01,shown,tea,0.5,tea,z", head=f"journey,{HEAD}")
    answer = smallyes("validate", file)
    assert answer.code == 0
    assert "  - warning: 1 row names the ask 'tea', which the catalog skincare does not have" in answer.out


def test_a_limit_that_slows_the_baseline_down_is_a_warning(smallyes: Smallyes) -> None:
    text = SMALL.replace("[buy]", "[look, buy]") + "  - {id: look, title: Look, kind: click, effort: 1}\n"
    answer = smallyes("validate", catalog(text + "limits: {min_gap: 1h}\n"))
    assert answer.code == 0
    assert "warning: limits.min_gap: keeps the baseline from reaching the goal in one visit" in answer.out


# for machines


def test_json_has_every_fault_in_parts(smallyes: Smallyes) -> None:
    answer = smallyes("validate", catalog(SMALL.replace("effort: 8", "effort: 11")), "--json")
    assert answer.code == 1
    (fault,) = answer.json["files"][0].pop("faults")
    assert answer.json["valid"] is False
    assert answer.json["faults"] == 1
    assert {**fault, "problem": ""} == {
        "file": "journey.yaml",
        "path": "asks[0].effort",
        "problem": "",
        "received": "11",
        "allowed": "a number from 0 to 10",
    }


def test_json_of_what_is_good(smallyes: Smallyes) -> None:
    answer = smallyes("validate", catalog(SMALL), log(*GOOD), "--json")
    assert answer.json == {
        "valid": True,
        "faults": 0,
        "files": [
            {"file": "journey.yaml", "faults": [], "warnings": [], "summary": "journey small: 1 ask, goal buy"},
            {"file": "log.csv", "faults": [], "warnings": [], "summary": "40 good rows of 40"},
        ],
    }
