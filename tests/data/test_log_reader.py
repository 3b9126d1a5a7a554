import gzip
import json
from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from data.clock import from_iso
from data.domain import Ask, Catalog
from data.errors import BadLog
from data.log import read_log, unknown_asks

ROW = {"visitor_id": "v", "at": "2026-03-01T10:00:00Z", "type": "shown", "ask_id": "quiz"}
TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def write_rows(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_rows(tmp_path, *rows, **options):
    return read_log(write_rows(tmp_path / "log.ndjson", *rows), **options)


def read_csv(tmp_path, text, **options):
    path = tmp_path / "log.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_log(path, **options)


@pytest.mark.parametrize(
    "at",
    [
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:00:00",
        "2026-03-01 10:00",
        "2026-03-01T11:00:00+01:00",
        "2026-03-01T04:30:00.000000999-0530",
        "2026-03-01T10:00:00.0 UTC",
    ],
)
def test_times_are_read_in_every_zone(tmp_path, at):
    assert read_rows(tmp_path, ROW | {"at": at}).frame["at"].to_list() == [TEN]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_typed_times_of_any_unit_and_zone_become_microseconds_utc(tmp_path, unit, zone):
    at = pl.Series("at", [TEN.replace(tzinfo=None)]).cast(pl.Datetime(unit))
    if zone is not None:
        at = at.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    pl.DataFrame([at]).with_columns(visitor_id=pl.lit("v"), type=pl.lit("left")).write_parquet(tmp_path / "log.parquet")
    frame = read_log(tmp_path / "log.parquet").frame
    assert frame["at"].to_list() == [TEN]
    assert frame.schema["at"] == pl.Datetime("us", "UTC")


def test_dates_are_midnight(tmp_path):
    pl.DataFrame({"visitor_id": ["v"], "type": ["left"], "at": [date(2026, 3, 1)]}).write_parquet(
        tmp_path / "a.parquet"
    )
    assert read_log(tmp_path / "a.parquet").frame["at"].item() == TEN - timedelta(hours=10)
    assert read_rows(tmp_path, ROW | {"at": "2026-03-01"}).frame["at"].item() == TEN - timedelta(hours=10)


def test_defaults_stand_in_for_what_is_left_out(tmp_path):
    row = read_rows(tmp_path, ROW, journey="shop").frame.row(0, named=True)
    assert row["received_at"] == TEN
    assert (row["policy"], row["channel"], row["learn"], row["withheld"]) == ("unknown", "web", True, [])
    assert row["journey"] == "shop"
    assert (row["propensity"], row["eligible"], row["value"]) == (None, None, None)


def test_eligible_is_read_from_lists_and_from_text(tmp_path):
    cells = [["quiz", None], "quiz|", "quiz|save", '["quiz", null]', ["quiz", ""], " quiz | save "]
    log = read_rows(tmp_path, *(ROW | {"eligible": cell} for cell in cells))
    nothing, save = ["quiz", None], ["quiz", "save"]
    assert log.frame["eligible"].to_list() == [nothing, nothing, save, nothing, nothing, save]


def test_only_nothing_was_eligible(tmp_path):
    text = "visitor_id,at,type,ask_id,eligible\nv,2026-03-01,shown,,|\nv,2026-03-02,shown,,\n"
    assert read_csv(tmp_path, text).frame["eligible"].to_list() == [[None], None]


def test_features_come_as_columns_or_as_objects(tmp_path):
    log = read_rows(
        tmp_path,
        ROW | {"context": {"device": "mobile", "cart": 5}},
        ROW | {"context.device": "tablet", "answers": '{"skin": "dry"}'},
        ROW | {"answers": {"skin": ["a", 1]}},
    )
    assert log.frame["context.device"].to_list() == ["mobile", "tablet", None]
    assert log.frame["context.cart"].to_list() == [5.0, None, None]
    assert log.frame["answers.skin"].to_list() == [None, "dry", '["a",1]']


def test_struct_columns_are_taken_apart(tmp_path):
    struct = [{"device": "mobile", "n": 1}, None]
    frame = pl.DataFrame({"visitor_id": ["v", "w"], "at": [TEN, TEN], "type": ["left", "left"], "context": struct})
    frame.write_parquet(tmp_path / "log.parquet")
    read = read_log(tmp_path / "log.parquet").frame
    assert read["context.device"].to_list() == ["mobile", None]
    assert read["context.n"].to_list() == [1.0, None]


def test_csv_features_get_the_type_that_all_cells_have(tmp_path):
    header = "visitor_id,at,type,ask_id,context.n,context.b,context.t,context.zip,answers.q"
    cells = ['1,true,1,01234,"""5"""', '2.5,False,x,99999,"""6"""', ",,,,"]
    log = read_csv(tmp_path, "\n".join([header, *(f"v{i},2026-03-01,shown,quiz,{c}" for i, c in enumerate(cells))]))
    assert log.frame["context.n"].to_list() == [1.0, 2.5, None]
    assert log.frame["context.b"].to_list() == [True, False, None]
    assert log.frame["context.t"].to_list() == ["1", "x", None]
    assert log.frame["context.zip"].to_list() == ["01234", "99999", None]
    assert log.frame["answers.q"].to_list() == ["5", "6", None]


def test_features_that_are_no_finite_number_are_missing(tmp_path):
    frame = pl.DataFrame({"visitor_id": ["v"] * 3, "at": [TEN] * 3, "type": ["left"] * 3})
    frame = frame.with_columns(pl.Series("context.x", [1.0, float("nan"), float("inf")]))
    frame.write_parquet(tmp_path / "log.parquet")
    assert read_log(tmp_path / "log.parquet").frame["context.x"].to_list() == [1.0, None, None]


def test_numbers_as_ids_become_text(tmp_path):
    frame = pl.DataFrame({"visitor_id": [17, 18], "at": [TEN] * 2, "type": ["left"] * 2, "order_id": [5.0, None]})
    frame.write_parquet(tmp_path / "log.parquet")
    read = read_log(tmp_path / "log.parquet").frame
    assert read["visitor_id"].to_list() == ["17", "18"]
    assert read["order_id"].to_list() == ["5", None]


def test_a_folder_may_mix_formats(tmp_path):
    folder = tmp_path / "logs"
    write_rows(folder / "day=1" / "a.ndjson", ROW | {"context": {"x": 1}})
    (folder / "b.csv").write_text("visitor_id;at;type\nw;2026-03-02;left\n")
    (folder / "c.csv.gz").write_bytes(gzip.compress(b"visitor_id,at,type\nx,2026-03-03,left\n"))
    pl.DataFrame({"visitor_id": ["y"], "at": [TEN], "type": ["left"]}).write_parquet(folder / "d.parquet")
    (folder / "README.md").write_text("hello")
    (folder / "_SUCCESS").write_text("")
    log = read_log(folder)
    assert sorted(log.frame["visitor_id"]) == ["v", "w", "x", "y"]
    assert [path.name for path in log.files] == ["b.csv", "c.csv.gz", "d.parquet", "a.ndjson"]
    (note,) = log.notes
    assert note.startswith(f"{folder / 'README.md'} was left out: its ending is none of .parquet .csv")


def test_a_glob_and_several_sources_read_each_file_once(tmp_path):
    a, b = write_rows(tmp_path / "a.ndjson", ROW), write_rows(tmp_path / "b.ndjson", ROW | {"visitor_id": "w"})
    assert read_log(str(tmp_path / "*.ndjson")).n_read == 2
    assert read_log([a, b, tmp_path, str(tmp_path / "?.ndjson")]).n_read == 2


@pytest.mark.parametrize("source", ["", "*.ndjson", "log.ndjson"])
def test_the_quarantine_is_written_beside_the_log_and_never_read_as_one(tmp_path, source):
    folder = tmp_path / "logs"
    write_rows(folder / "log.ndjson", *[ROW] * 40, ROW | {"type": "view", "context": {"x": "5"}})
    first = read_log(folder / source if source != "*.ndjson" else str(folder / "*"))
    assert first.quarantine_path is not None
    assert first.quarantine_path.name.endswith(".quarantine.parquet")
    assert pl.read_parquet(first.quarantine_path).equals(first.quarantined)
    again = read_log(folder if source != "*.ndjson" else str(folder / "*"))
    assert (again.n_read, again.quarantined.height) == (41, 1)


def test_the_quarantine_says_where_a_row_was_and_can_be_read_again_when_corrected(tmp_path):
    log = read_rows(tmp_path, *[ROW] * 40, ROW | {"eligible": ["quiz", None], "propensity": 7, "context": {"x": 5}})
    refused = log.quarantined.row(0, named=True)
    assert (refused["file"], refused["row"]) == (str(tmp_path / "log.ndjson"), 41)
    assert (refused["propensity"], refused["eligible"], refused["context.x"]) == ("7", "quiz|", "5")
    corrected = tmp_path / "corrected.parquet"
    log.quarantined.with_columns(propensity=pl.lit("0.5")).write_parquet(corrected)
    assert read_log(corrected).frame["eligible"].to_list() == [["quiz", None]]


def test_a_quarantine_that_cannot_be_written_is_noted(tmp_path):
    log = read_rows(tmp_path, *[ROW] * 40, ROW | {"type": "view"}, quarantine_to=tmp_path / "missing" / "q.parquet")
    assert log.quarantine_path is None
    assert "the quarantine could not be written" in log.notes[0]
    assert log.quarantined.height == 1


def test_no_quarantine_file_on_request(tmp_path):
    log = read_rows(tmp_path, *[ROW] * 40, ROW | {"type": "view"}, quarantine_to=False)
    assert log.quarantined.height == 1
    assert [path.name for path in tmp_path.iterdir()] == ["log.ndjson"]


def test_an_old_quarantine_is_pointed_out(tmp_path):
    read_rows(tmp_path, *[ROW] * 40, ROW | {"type": "view"})
    assert "is of an earlier reading" in read_rows(tmp_path, *[ROW] * 40).notes[0]


def test_lines_that_are_no_rows_are_set_apart(tmp_path):
    path = write_rows(tmp_path / "log.ndjson", *[ROW] * 100)
    lines = [b"{not json", b"[1, 2]", b'{"visitor_id": "\xff"}', b'{"a": "\\ud800"}', b"[" * 100_000]
    path.write_bytes(path.read_bytes() + b"\n".join(lines))
    log = read_log(path)
    assert log.quarantined.height == 5
    assert all("the line is no JSON object" in reason for reason in log.quarantined["reason"])
    assert log.quarantined["line"][0] == "{not json"
    assert log.quarantined["row"].to_list() == [101, 102, 103, 104, 105]


def test_csv_rows_of_the_wrong_length_are_set_apart(tmp_path):
    rows = [b"v,2026-03-01,left"] * 80 + [b"v,2026-03-01", b"v,2026-03-01,left,x", b"\xff,2026-03-01,left"]
    log = read_csv(tmp_path, b"\n".join([b"visitor_id,at,type", *rows]))
    assert log.quarantined["reason"].to_list() == [
        "the row has 2 fields; allowed: 3, as in the header",
        "the row has 4 fields; allowed: 3, as in the header",
        "the row is not UTF-8",
    ]
    assert log.frame.height == 80


def test_nothing_goes_missing(tmp_path):
    rows = [ROW | {"journey": "shop"}] * 60 + [ROW | {"journey": "blog"}] * 5 + [ROW | {"type": "x"}] * 2
    rows += [ROW | {"journey": "shop", "at": "2026-04-01"}] * 3
    log = read_rows(tmp_path, *rows, journey="shop", now=from_iso("2026-03-15"))
    assert (log.frame.height, log.quarantined.height, log.n_other_journey, log.n_after_now) == (60, 2, 5, 3)
    assert log.n_read == 70
    assert log.now == from_iso("2026-03-15")


def test_now_is_the_latest_time_of_receipt(tmp_path):
    log = read_rows(tmp_path, ROW, ROW | {"received_at": "2026-03-05T12:00:00Z"})
    assert log.now == from_iso("2026-03-05T12:00:00Z")


def test_one_of_several_journeys_must_be_chosen(tmp_path):
    rows = [ROW | {"journey": "shop"}, ROW | {"journey": "blog"}]
    with pytest.raises(BadLog, match=r"several journeys; received blog, shop; allowed: choose one \(--journey\)"):
        read_rows(tmp_path, *rows)
    with pytest.raises(BadLog, match="has no such row; received skincre; allowed: blog, shop"):
        read_rows(tmp_path, *rows, journey="skincre")


def test_rows_without_journey_are_of_the_only_one(tmp_path):
    log = read_rows(tmp_path, ROW | {"journey": "shop"}, ROW)
    assert log.frame["journey"].to_list() == ["shop", "shop"]


def test_rows_without_journey_among_several_are_refused(tmp_path):
    rows = [ROW | {"journey": "shop"}] * 20 + [ROW | {"journey": "blog"}] * 20 + [ROW]
    log = read_rows(tmp_path, *rows, journey="shop")
    assert log.quarantined["reason"].item() == "journey is missing, and the log is of several journeys"


def test_required_columns_are_asked_for_all_at_once(tmp_path):
    with pytest.raises(BadLog) as error:
        read_csv(tmp_path, "user,time,event\n1,2,3\n")
    text = str(error.value)
    assert "visitor_id, at, type: required columns missing; received the columns event, time, user" in text
    assert "--map" in text


def test_asks_without_a_column_that_says_which_are_refused(tmp_path):
    with pytest.raises(BadLog, match="no column says which ask"):
        read_csv(tmp_path, "visitor_id,at,type,ask\nv,2026-03-01,shown,quiz\n")


def test_unused_columns_are_noted_with_a_guess(tmp_path):
    log = read_rows(tmp_path, ROW | {"propensty": 0.5, "country": "fr"})
    assert log.notes == ("columns not used: country, propensty (did you mean propensity?)",)


@pytest.mark.parametrize("name", ["log.csv", "log.ndjson", "log.csv.gz"])
@pytest.mark.parametrize("text", ["", "\n", "visitor_id,at,type\n"])
def test_an_empty_log_is_refused(tmp_path, name, text):
    if name == "log.ndjson" and text.startswith("v"):
        text = ""
    raw = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    with pytest.raises(BadLog, match="has no rows; allowed: at least one event"):
        read_log(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "raw", "problem"),
    [
        ("log.parquet", b"PAR1 no", "is damaged or no Parquet file"),
        ("log.csv.gz", b"no gzip", "cannot be read"),
        ("log.csv.gz", gzip.compress(b"visitor_id,at,type\n" * 500)[:-30], "cannot be read"),
        ("log.xlsx", b"", "is of no known format; received .xlsx"),
        ("log.csv", b"visitor_id,at,at,type\n", "at: is a column twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, raw, problem):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(BadLog) as error:
        read_log(tmp_path / name)
    assert problem in str(error.value)


def test_all_sources_that_do_not_exist_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadLog) as error:
        read_log([tmp_path / "no.csv", str(tmp_path / "*.csv"), tmp_path / "empty"])
    text = str(error.value)
    assert "no.csv: does not exist" in text
    assert "*.csv: no log file matches it" in text
    assert "empty: no log file is in it" in text


def test_a_log_that_was_all_received_later_is_refused(tmp_path):
    with pytest.raises(BadLog, match="was received until 2020-01-01"):
        read_rows(tmp_path, ROW, now=from_iso("2020-01-01"))


def test_zones_of_python_are_understood(tmp_path):
    at = datetime(2026, 3, 1, 5, tzinfo=timezone(timedelta(hours=-5)))
    assert read_rows(tmp_path, ROW | {"at": at.isoformat()}).frame["at"].item() == TEN


def test_asks_that_the_catalog_does_not_have_are_counted_by_row(tmp_path):
    log = read_rows(tmp_path, ROW, ROW | {"eligible": ["quiz", "old"]}, ROW | {"ask_id": "old", "eligible": ["old"]})
    catalog = Catalog("shop", "quiz", ("quiz",), (Ask("quiz", "A quiz", "quiz", 2),))
    assert unknown_asks(log.frame, catalog) == {"old": 2}
