import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings

from data.domain import Decision, Event
from data.errors import BadLog, Unavailable
from data.log import frame_of, items_of, read_log, write_frames, write_log
from data.log.schema import COLUMNS, LogSchema
from tests.log_strategies import NOON, items

ENDINGS = ["parquet", "csv", "ndjson", "csv.gz", "jsonl.gz"]


def a_decision(number: int, **fields: object) -> Decision:
    known = {
        "decision_id": f"d{number}",
        "visitor_id": "v",
        "journey": "shop",
        "at": NOON + number,
        "received_at": NOON + number,
        "ask_id": "quiz",
        "propensity": 0.5,
        "eligible": ("quiz",),
        "policy": "baseline",
    }
    return Decision(**(known | fields))


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=25, deadline=None)
@given(written=items())
def test_what_is_written_is_read_back_exactly(ending, written):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{ending}"
        assert write_log(path, [written]) == len(written)
        log = read_log(path)
    assert log.quarantined.is_empty()
    assert log.frame.schema == frame_of(written).schema
    assert log.frame.equals(frame_of(written))
    assert list(items_of(log.frame)) == written


@pytest.mark.parametrize("ending", ENDINGS)
def test_floats_keep_every_bit(ending, tmp_path):
    numbers = [5e-324, 0.1 + 0.2, 1 / 3, 1 - 2**-53, 2**-1074 * 3, 1.0]
    write_log(tmp_path / f"log.{ending}", [[a_decision(i, propensity=p) for i, p in enumerate(numbers)]])
    read = read_log(tmp_path / f"log.{ending}").frame["propensity"]
    assert [struct.pack("d", p) for p in read] == [struct.pack("d", p) for p in numbers]


@settings(max_examples=30, deadline=None)
@given(written=items())
def test_a_frame_stands_for_its_items_and_follows_the_schema(written):
    frame = frame_of(written)
    assert list(items_of(frame)) == written
    assert LogSchema.is_valid(frame.select(*COLUMNS))


@pytest.mark.parametrize("ending", ENDINGS)
def test_batches_with_other_features_become_one_file(ending, tmp_path, monkeypatch):
    monkeypatch.setattr("data.log.writer._PART_ROWS", 2)
    written = [a_decision(i, context={f"f{i % 3}": float(i)}) for i in range(7)]
    write_log(tmp_path / f"log.{ending}", iter([written[:3], [], written[3:]]))
    log = read_log(tmp_path / f"log.{ending}")
    assert list(items_of(log.frame)) == written
    assert [name for name in log.frame.columns if name.startswith("context.")] == [f"context.f{i}" for i in range(3)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_features_of_mixed_types_become_text(ending, tmp_path, monkeypatch):
    monkeypatch.setattr("data.log.writer._PART_ROWS", 1)
    values = [5, "007", True, 0.5]
    write_log(tmp_path / f"log.{ending}", [[a_decision(i, context={"x": value}) for i, value in enumerate(values)]])
    assert read_log(tmp_path / f"log.{ending}").frame["context.x"].to_list() == ["5", "007", "true", "0.5"]


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def failing() -> Iterator[list[Decision]]:
        yield [a_decision(1)]
        raise RuntimeError("the store went away")

    write_log(tmp_path / "log.csv", [[a_decision(0)]])
    before = (tmp_path / "log.csv").read_bytes()
    with pytest.raises(RuntimeError, match="went away"):
        write_log(tmp_path / "log.csv", failing())
    assert (tmp_path / "log.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(BadLog, match=r"is of no known format; received \.xlsx; allowed: \.parquet"):
        write_log(tmp_path / "log.xlsx", [[a_decision(0)]])


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        write_log(tmp_path / "file" / "log.csv", [[a_decision(0)]])


def test_an_event_of_type_shown_is_refused():
    with pytest.raises(ValueError, match="a Decision says that"):
        frame_of([Event("v", "shown", NOON, NOON, "shop", ask_id="quiz")])


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_export_of_nothing_is_an_empty_file(ending, tmp_path):
    assert write_log(tmp_path / f"log.{ending}", []) == 0
    with pytest.raises(BadLog, match="has no rows"):
        read_log(tmp_path / f"log.{ending}")


def test_frames_are_written_as_they_are(tmp_path):
    frame = frame_of([a_decision(0, context={"device": "mobile"}), a_decision(1)])
    write_frames(tmp_path / "log.parquet", [frame.head(1), frame.tail(1)])
    assert pl.read_parquet(tmp_path / "log.parquet").equals(frame)
