import json
import math

import polars as pl
import pytest

from data.errors import BadLog
from data.log import read_log
from data.log.schema import COLUMNS, RULES, SHOWN_ONLY, LogSchema

GOOD = {"visitor_id": "v", "at": "2026-03-01T10:00:00Z", "type": "shown", "ask_id": "quiz"}


def read_with(tmp_path, *bad, **options):
    """Reads the given rows among enough good ones that the log is not refused."""
    rows = [*(GOOD | {"visitor_id": f"g{i}"} for i in range(40)), *bad]
    path = tmp_path / "log.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_log(path, **options)


def reason_of(tmp_path, row, **options):
    log = read_with(tmp_path, GOOD | row, **options)
    assert log.n_read == 41
    assert log.frame.height == 40
    return log.quarantined["reason"].item()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"visitor_id": None}, "visitor_id is missing: every row needs one"),
        ({"visitor_id": ""}, "visitor_id is missing"),
        ({"visitor_id": "é" * 129}, "visitor_id has 258 bytes; allowed: at most 256"),
        ({"event_id": "x" * 257}, "event_id has 257 bytes; allowed: at most 256"),
        ({"decision_id": "x" * 257}, "decision_id has 257 bytes"),
        ({"order_id": "x" * 257}, "order_id has 257 bytes"),
        ({"policy": "x" * 257}, "policy has 257 bytes"),
        ({"channel": "x" * 257}, "channel has 257 bytes"),
        ({"at": None}, "at is missing: every row needs the time"),
        ({"at": "soon"}, "at is no time: soon; allowed: ISO 8601"),
        ({"at": "2026-02-30"}, "at is no time: 2026-02-30"),
        ({"at": "1760000000"}, "(numbers need a map file: times: {at: epoch_ms})"),
        ({"at": "1969-12-31"}, "at is 1969-12-31 00:00:00.000000+00:00; allowed: years 1970 to 9999"),
        ({"received_at": "1969-12-31"}, "received_at is 1969-12-31 00:00:00.000000+00:00; allowed: years"),
        ({"received_at": "never"}, "received_at is no time: never"),
        ({"received_at": "2026-03-01T09:54:59Z"}, "later than received_at 2026-03-01 09:54:59"),
        ({"type": None}, "type is missing"),
        ({"type": "view"}, "type is view; allowed: shown, accepted, declined, ignored, converted"),
        ({"type": "accepted", "ask_id": None}, "ask_id is missing: an answer needs the ask it answers"),
        ({"ask_id": "Skin Quiz"}, "ask_id is Skin Quiz; allowed: 1 to 64 of the characters a-z 0-9 _ -"),
        ({"ask_id": "x" * 65}, "allowed: 1 to 64 of the characters"),
        ({"journey": "the shop"}, "journey is the shop; allowed: 1 to 64"),
        ({"type": "signal", "ask_id": None}, "signal is missing: a signal needs its name"),
        ({"type": "signal", "ask_id": None, "signal": "Page View"}, "signal is Page View; allowed"),
        ({"type": "merged", "ask_id": None}, "from_id is missing: merged needs the visitor"),
        ({"type": "merged", "ask_id": None, "from_id": "v"}, "from_id is visitor_id itself"),
        ({"type": "merged", "ask_id": None, "from_id": "x" * 257}, "from_id has 257 bytes"),
        ({"propensity": 0.0}, "propensity is 0.0; allowed: greater than 0 and at most 1"),
        ({"propensity": 1.3}, "propensity is 1.3; allowed"),
        ({"propensity": -0.1}, "propensity is -0.1; allowed"),
        ({"propensity": "NaN"}, "propensity is NaN; allowed"),
        ({"propensity": "inf"}, "propensity is inf; allowed"),
        ({"propensity": "high"}, "propensity is no number: high"),
        ({"eligible": "save|buy"}, "eligible is save, buy; it lacks what was shown: quiz"),
        ({"eligible": "save|buy", "ask_id": None}, "eligible is save, buy; it lacks what was shown: nothing"),
        ({"eligible": "quiz|"}, None),
        ({"eligible": "quiz|save|quiz"}, "eligible is quiz, save, quiz; it names an ask twice"),
        ({"eligible": "quiz|Skin Quiz"}, "eligible is quiz, Skin Quiz; allowed: names of asks"),
        ({"eligible": "[quiz"}, "eligible is no list of names: [quiz"),
        ({"withheld": "Skin Quiz"}, "withheld is Skin Quiz; allowed: names of asks"),
        ({"type": "converted", "ask_id": None, "value": "inf"}, "value is inf; allowed: a finite number"),
        ({"learn": "perhaps"}, "learn is no true or false: perhaps"),
        ({"shown_at": "1960-01-01"}, "shown_at is 1960-01-01"),
        ({"context": "mobile"}, "context is no JSON object: mobile"),
    ],
)
def test_a_row_that_breaks_a_rule_is_set_apart_with_the_reason(tmp_path, row, reason):
    if reason is None:
        assert read_with(tmp_path, GOOD | row).quarantined.is_empty()
    else:
        assert reason in reason_of(tmp_path, row)


def test_every_rule_of_the_schema_has_words():
    rules = set(LogSchema._validation_rules(with_cast=False))
    assert rules == set(RULES)
    assert list(LogSchema.column_names()) == list(COLUMNS)


def test_all_that_is_wrong_with_a_row_is_said_at_once(tmp_path):
    reason = reason_of(tmp_path, {"visitor_id": None, "propensity": 1.3, "at": "soon"})
    assert reason.split("; ")[0] == "at is no time: soon"
    assert "visitor_id is missing" in reason
    assert "propensity is 1.3" in reason
    assert "at is missing" not in reason


def test_one_fault_is_said_once(tmp_path):
    assert reason_of(tmp_path, {"at": "1969-12-31"}).count("is 1969-12-31") == 1


def test_columns_that_are_about_decisions_say_nothing_elsewhere(tmp_path):
    log = read_with(tmp_path, GOOD | {"type": "accepted", "propensity": math.nan, "eligible": "other", "policy": "x"})
    accepted = log.frame.filter(type="accepted").select(*SHOWN_ONLY)
    assert accepted.row(0) == (None,) * len(SHOWN_ONLY)


def test_a_clock_may_be_five_minutes_ahead(tmp_path):
    log = read_with(tmp_path, GOOD | {"at": "2026-03-01T10:05:00Z", "received_at": "2026-03-01T10:00:00Z"})
    assert log.quarantined.is_empty()


def test_an_id_of_256_bytes_is_allowed(tmp_path):
    assert read_with(tmp_path, GOOD | {"visitor_id": "é" * 128}).quarantined.is_empty()


def test_one_decision_id_for_two_decisions_is_refused_from_the_second_on(tmp_path):
    later = GOOD | {"decision_id": "d", "at": "2026-03-01T11:00:00Z"}
    log = read_with(tmp_path, later, GOOD | {"decision_id": "d"}, GOOD | {"decision_id": "d"})
    assert log.quarantined["reason"].to_list() == ["decision_id is d; it names another decision already"]
    assert log.quarantined["at"].to_list() == ["2026-03-01T11:00:00.000000Z"]


def test_rows_from_the_future_are_refused_where_the_present_is_known(tmp_path):
    row = GOOD | {"at": "2999-01-01"}
    present = 1_772_400_000_000_000
    log = read_with(tmp_path, row, present=present)
    assert "in the future" in log.quarantined["reason"].item()
    assert log.now < present
    assert read_with(tmp_path, row).quarantined.is_empty()


def test_more_than_five_percent_bad_rows_stop_the_reading(tmp_path):
    bad = [GOOD | {"propensity": 1.5 + i} for i in range(3)]
    with pytest.raises(BadLog) as error:
        read_with(tmp_path, *bad)
    text = str(error.value)
    assert "3 of 43 rows (7.0%) break the schema" in text
    assert "row 41: propensity is 1.5; allowed: greater than 0" in text
    assert "(3 rows like this)" in text
    assert pl.read_parquet(tmp_path / "log.ndjson.quarantine.parquet").height == 3


def test_five_percent_bad_rows_are_borne(tmp_path):
    assert read_with(tmp_path, GOOD | {"propensity": 2.0}, GOOD | {"propensity": 3.0}).quarantined.height == 2
