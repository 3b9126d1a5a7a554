import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from data.errors import BadLog
from data.log import LogMap, load_map, read_log
from data.log.schema import COLUMNS

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def write_map(tmp_path, text):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    return path


def read_rows(tmp_path, rows, mapping):
    path = tmp_path / "log.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_log(path, mapping=mapping)


def test_a_foreign_log_is_read_by_its_map(tmp_path):
    mapping = write_map(
        tmp_path,
        """
        format: 1
        columns: {visitor_id: user.id, at: ts, type: event, ask_id: offer, eligible: offers, context.device: ua.device}
        constants: {journey: shop, channel: email}
        values:
          type: {impression: shown, click: accepted, yes: accepted}
          ask_id: {Skin Quiz: skin_quiz, control: ""}
        ignore: {type: [heartbeat]}
        times: {at: epoch_ms}
        lists: {eligible: ","}
        """,
    )
    ts = int(TEN.timestamp() * 1000)
    rows = [
        {"user": {"id": 7}, "ts": ts, "event": "impression", "offer": "Skin Quiz", "offers": "Skin Quiz,control"},
        {"user": {"id": 7}, "ts": str(ts), "event": "yes", "offer": "Skin Quiz", "ua": {"device": "mobile"}},
        {"user": {"id": 7}, "ts": ts, "event": "heartbeat"},
        {"user": {"id": 8}, "ts": ts, "event": "shown", "offer": "control"},
    ]
    log = read_rows(tmp_path, rows, mapping)
    frame = log.frame
    assert (log.n_read, log.n_ignored, log.journey, log.notes) == (4, 1, "shop", ())
    assert frame["type"].to_list() == ["shown", "accepted", "shown"]
    assert frame["ask_id"].to_list() == ["skin_quiz", "skin_quiz", None]
    assert frame["eligible"].to_list() == [["skin_quiz", None], None, None]
    assert frame["at"].to_list() == [TEN] * 3
    assert frame["channel"].to_list() == ["email", None, "email"]
    assert frame["context.device"].to_list() == [None, "mobile", None]


@pytest.mark.parametrize(
    ("rule", "cell"),
    [
        ("epoch_s", 1772359200),
        ("epoch_s", 1772359200.0),
        ("epoch_s", "1772359200.0000004"),
        ("epoch_us", 1772359200000000),
        ("epoch_ns", 1772359200000000999),
        ("iso", "2026-03-01T10:00:00"),
        ("{zone: Europe/Berlin}", "2026-03-01T11:00:00"),
        ("{zone: Europe/Berlin}", "2026-03-01T10:00:00Z"),
        ('{format: "%d.%m.%Y %H:%M", zone: America/New_York}', "01.03.2026 05:00"),
        ('{format: "%Y%m%dT%H%M%S%z"}', "20260301T120000+0200"),
    ],
)
def test_times_are_parsed_as_the_map_says(tmp_path, rule, cell):
    mapping = write_map(tmp_path, f"format: 1\ntimes: {{at: {rule}}}\n")
    log = read_rows(tmp_path, [{"visitor_id": "v", "type": "left", "at": cell}], mapping)
    assert log.frame["at"].to_list() == [TEN]


def test_times_in_the_wrong_unit_are_refused_not_wrapped_around(tmp_path):
    rows = [{"visitor_id": "v", "type": "left", "at": 1772359200}] * 40
    rows += [{"visitor_id": "v", "type": "left", "at": 1772359200000000000}]
    log = read_rows(tmp_path, rows, LogMap(times={"at": "epoch_s"}))
    assert "at is no time: 1772359200000000000" in log.quarantined["reason"].item()


def test_naive_typed_times_are_of_the_zone_of_the_map(tmp_path):
    frame = pl.DataFrame({"visitor_id": ["v"], "type": ["left"], "at": [datetime(2026, 3, 1, 11)]})
    frame.write_parquet(tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet", mapping=LogMap(times={"at": {"zone": "Europe/Berlin"}}))
    assert log.frame["at"].to_list() == [TEN]


def test_an_event_name_that_is_not_mapped_is_refused_by_name(tmp_path):
    rows = [{"visitor_id": "v", "at": "2026-03-01", "type": "bye"}] * 40
    rows += [{"visitor_id": "v", "at": "2026-03-01", "type": "wave"}]
    log = read_rows(tmp_path, rows, LogMap(values={"type": {"bye": "left"}}))
    assert "type is wave; allowed: shown" in log.quarantined["reason"].item()


def test_a_column_of_the_map_that_the_log_does_not_have_is_said(tmp_path):
    rows = [{"visitor_id": "v", "at": "2026-03-01", "type": "left"}]
    with pytest.raises(BadLog, match="ts: is named in the map file, but no column; allowed: at, type, visitor_id"):
        read_rows(tmp_path, rows, LogMap(columns={"received_at": "ts"}))


def test_a_column_of_the_map_may_be_absent_from_some_files(tmp_path):
    for name, row in (("a", {"ts": "2026-03-01"}), ("b", {})):
        cells = {"visitor_id": name, "at": "2026-02-28", "type": "left"} | row
        (tmp_path / f"{name}.ndjson").write_text(json.dumps(cells))
    log = read_log(tmp_path, mapping=LogMap(columns={"received_at": "ts"}))
    assert [at.day for at in log.frame["received_at"]] == [1, 28]


def test_constants_and_translated_features_get_the_type_they_look_like(tmp_path):
    mapping = LogMap(constants={"context.site": "5"}, values={"context.size": {"small": "1", "large": "3"}})
    rows = [{"visitor_id": "v", "at": "2026-03-01", "type": "left", "context": {"size": s}} for s in ("small", "large")]
    frame = read_rows(tmp_path, rows, mapping).frame
    assert frame["context.site"].to_list() == [5.0, 5.0]
    assert frame["context.size"].to_list() == [1.0, 3.0]


def test_all_faults_of_a_map_come_in_one_report(tmp_path):
    path = write_map(
        tmp_path,
        """
        format: 2
        colums: {}
        columns: {visitor: user, user: visitor_id, journey: site}
        constants: {journey: shop}
        values: {type: {view: seen}}
        times: {at: epoch_days, received_at: {zone: Mars/Olympus}, shown_at: {format: nope}, value: iso}
        lists: {eligible: ""}
        """,
    )
    with pytest.raises(BadLog) as error:
        load_map(path)
    where = {fault.path for fault in error.value.faults}
    assert {
        "format",
        "colums",
        "columns.visitor",
        "columns.user",
        "columns.journey",
        "values.type.view",
        "times.at.epoch",
        "times.received_at.zone",
        "times.shown_at.format",
        "times.value",
        "lists.eligible",
    } <= where
    assert "the wrong way round" in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no map file"),
        ("[1]", "is no map file"),
        ("columns: {}", "format: is missing; allowed: format: 1"),
        ("format: [", "is no YAML"),
        ("format: 1\ncolumns: {at: a, at: b}", "the key 'at' is given twice"),
        ("format: 1\ncolumns: [at]", "columns: Input should be a valid dictionary"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, text, problem):
    with pytest.raises(BadLog) as error:
        load_map(write_map(tmp_path, text))
    assert problem in str(error.value)


def test_a_map_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(BadLog, match="cannot be read"):
        load_map(tmp_path / "map.yaml")


@pytest.mark.parametrize("place", ["docs/logs.md", "data/log/mapping.py"])
def test_the_documented_map_is_one(tmp_path, place):
    text = (Path(__file__).parents[2] / place).read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    mapping = load_map(write_map(tmp_path, example))
    assert mapping.columns["context.device"] == "device"
    assert mapping.times["received_at"].zone == "Europe/Berlin"


def test_the_documented_columns_are_those_of_the_schema():
    table = (Path(__file__).parents[2] / "docs/logs.md").read_text().split("## Rows that")[0]
    documented = {name for line in table.splitlines() if line.startswith("| `") for name in _names(line)}
    assert documented == set(COLUMNS) | {"context.<name>", "answers.<name>"}


def _names(line):
    return [cell.strip("` ") for cell in line.split("|")[1].split(",")]
