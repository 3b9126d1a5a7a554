"""A log played in lock-step is a log: guardrails, states and answers are those of the service and the driver."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest

from benchmarks.learning.logs import LogWriter, log_and_truth, played_log
from benchmarks.learning.play import Play, Played, Steps, bundle_decider
from data.arrivals import arrange
from data.domain import DAY, SECOND
from data.log import read_log, write_log
from data.log.writer import write_frames
from data.simulator.clock import SimulatedClock
from data.simulator.drive import DriveOptions, drive
from data.simulator.truth import MONDAY, value_of_sequence
from data.simulator.worlds import world
from data.stores.registry import open_store
from features.spec import spec_of
from features.summary import SCALARS
from policy.live import LiveJourney
from policy.policies import Always, DayZero, Uniform
from policy.site import LocalSite, all_to
from training.table import Table, table_of

N, N_DRIVEN = 4_000, 500
PLACE = world("skincare")
NOW = MONDAY + 400 * DAY


@lru_cache(maxsize=1)
def log_of_uniform() -> tuple[pl.DataFrame, Played]:
    return log_and_truth(PLACE, Uniform(), N, seed=3, days=20)


@lru_cache(maxsize=1)
def table_of_uniform() -> Table:
    return table_of(arrange(log_of_uniform()[0], PLACE.catalog), PLACE.catalog, now=NOW)


def possible(table: Table) -> np.ndarray:
    mask = np.zeros((len(table), len(PLACE.catalog.asks) + 1), dtype=np.bool_)
    mask[table.candidates.groups, table.candidates.asks] = True
    return mask


def test_what_could_be_asked_is_what_guardrails_allow():
    table = table_of_uniform()
    assert (possible(table)[:, :-1] == table.allowed).all()
    assert (table.shown >= 0).all()
    assert table.propensity == pytest.approx(1.0 / table.candidates.sizes)


def test_no_row_is_set_aside_or_a_duplicate():
    arrivals = arrange(log_of_uniform()[0], PLACE.catalog)
    assert (arrivals.set_aside.height, arrivals.n_duplicates, len(arrivals.visitors)) == (0, 0, N)


def test_rewards_are_what_really_happened():
    _, played = log_of_uniform()
    table = table_of_uniform()
    assert table.is_learnable.all()
    assert table.is_mature.all()
    visitors = table.episodes.episodes["visitor_id"].str.slice(-7).cast(pl.Int64).to_numpy()
    found = np.zeros(N)
    np.add.at(found, visitors, table.rewards)
    assert found.tolist() == played.is_converted.astype(float).tolist()


def test_conversion_is_the_exact_one():
    truth = value_of_sequence(PLACE, PLACE.catalog.baseline)
    frame, played = log_and_truth(PLACE, Always("baseline"), 20_000, seed=4, days=30)
    n_converted = frame.filter((pl.col("ask_id") == "purchase") & (pl.col("type") == "accepted")).height
    n_late = frame.filter(pl.col("event_id").str.ends_with(".late")).height
    assert n_converted + n_late == played.is_converted.sum()
    error = np.sqrt(truth * (1.0 - truth) / 20_000)
    assert abs((n_converted + n_late) / 20_000 - truth) < 4.0 * error


def write_driven(path: Path, n: int) -> pl.DataFrame:
    """Writes the log that the service keeps of ``n`` visitors, played one by one."""
    clock = SimulatedClock(MONDAY)
    with closing(open_store("memory:")) as store:
        live = LiveJourney(all_to(PLACE.catalog, "random"))
        site = LocalSite(store, live, b"secret", clock, Random(2).randbytes)
        drive(PLACE, site, n_visitors=n, seed=2, started_at=MONDAY, options=DriveOptions(clock=clock))
        write_log(path, store.log(PLACE.catalog.journey))
    return pl.read_parquet(path)


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    return write_driven(tmp_path_factory.mktemp("driven") / "log.parquet", N_DRIVEN)


def test_answers_to_each_ask_are_those_of_the_driver(driven):
    kinds = ("accepted", "declined", "ignored")
    for ask in PLACE.catalog.position:
        counts = []
        for frame in (log_of_uniform()[0], driven):
            of_ask = frame.filter(pl.col("ask_id") == ask)["type"]
            counts.append([of_ask.eq("shown").sum(), *(of_ask.eq(kind).sum() for kind in kinds)])
        (n, *many), (m, *few) = counts
        for kind, x, y in zip(kinds, many, few, strict=True):
            p = (x + y) / (n + m)
            error = np.sqrt(max(p * (1.0 - p), 1.0 / (n + m)) * (1.0 / n + 1.0 / m))
            assert abs(x / n - y / m) < 4.5 * error, (ask, kind, x / n, y / m)


def test_rows_of_each_type_are_as_frequent_as_the_drivers(driven):
    many, few = log_of_uniform()[0], driven
    for kind in ("shown", "signal", "left", "ignored", "accepted", "declined"):
        x, y = (frame.filter(pl.col("type") == kind).height for frame in (many, few))
        assert x / N == pytest.approx(y / N_DRIVEN, rel=0.15), kind


def test_columns_are_those_of_a_written_log(driven):
    frame = log_of_uniform()[0]
    assert dict(frame.schema) == dict(driven.schema)
    filled = ["visitor_id", "at", "received_at", "type", "journey"]
    for kind in ("shown", "accepted", "declined", "ignored", "signal", "left"):
        for column in (*filled, "decision_id", "event_id", "ask_id", "signal", "propensity", "learn", "withheld"):
            ours, theirs = (log.filter(pl.col("type") == kind)[column] for log in (frame, driven))
            assert ours.is_null().all() == theirs.is_null().all(), (kind, column)


def test_the_log_is_read_back_as_it_was_written(tmp_path):
    frame = played_log(PLACE, DayZero(0.5), 300, seed=8, days=2)
    path = tmp_path / "log.parquet"
    write_frames(path, [frame])
    found = read_log(path)
    assert found.quarantined.height == 0
    assert found.frame.select(frame.columns).equals(frame)
    assert frame["policy"].unique().drop_nulls().to_list() == ["baseline"]


def test_visitors_come_over_the_days_fewer_at_night():
    frame, _ = log_of_uniform()
    first = frame.group_by("visitor_id").agg(pl.col("at").min())["at"]
    days = (first.max() - first.min()).total_seconds() / 86_400  # type: ignore[operator, union-attr]
    assert 19 < days <= 20.1
    hours = first.dt.hour().to_numpy()
    assert (hours < 6).mean() < 0.5 * ((hours >= 12) & (hours < 18)).mean()


def test_late_conversions_are_reported_late():
    late = log_of_uniform()[0].filter(pl.col("event_id").str.ends_with(".late"))
    delays = (late["received_at"] - late["at"]).dt.total_microseconds().to_numpy() / SECOND
    low, high = PLACE.timing.report_s
    assert len(delays) > 5
    assert low <= delays.min()
    assert delays.max() <= high


def test_the_same_seed_is_the_same_log():
    first, again, other = (played_log(PLACE, Uniform(), 200, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


class _Collecting(LogWriter):
    """Keeps what each decision saw, besides writing it."""

    seen: list[Steps]

    def steps(self, steps: Steps) -> None:
        self.seen.append(steps)
        super().steps(steps)


def test_played_states_are_those_that_the_log_lowers_to():
    """Where no signal is late, each decision of the play saw, feature by feature, what the fold of its log says."""
    place = replace(PLACE, name="punctual", observation=replace(PLACE.observation, late_signals=0.0))
    catalog, decide = place.catalog, bundle_decider(Uniform())
    writer = _Collecting(place, decide, 6, "holdout:random")
    writer.seen = []
    play = Play(place, decide, np.random.default_rng(6), np.full(600, MONDAY), writer)
    writer.expect(play.visitors)
    play.run()
    table = table_of(arrange(writer.frame(), catalog), catalog, now=NOW)
    rows = {name: row for row, name in enumerate(table.decisions["decision_id"])}
    n_compared = 0
    for steps in writer.seen:
        names = [f"v6-{who:07d}-{steps.visit}-{steps.step}" for who in steps.who]
        ours = np.array([i for i, name in enumerate(names) if name in rows], dtype=np.int64)
        theirs = np.array([rows[names[i]] for i in ours], dtype=np.int64)
        mine, right = steps.given.take(ours), table.crowd.take(theirs)
        for name in (*SCALARS, "n_shown", "n_accepted", "declined_at", "n_accepted_episode", "signaled_at"):
            found, known = getattr(mine.summary, name), getattr(right.summary, name)
            assert np.array_equal(found, known), (name, steps.visit, steps.step)
        assert (mine.now == right.now).all()
        assert (mine.answers["concern"] == right.answers["concern"]).all()
        assert (mine.context["referrer"] == right.context["referrer"]).all()
        n_compared += len(ours)
    assert n_compared == len(table) > 1_500


def test_a_model_is_named_with_the_columns_it_saw():
    spec = spec_of(PLACE.catalog)
    frame = played_log(PLACE, bundle_decider(Uniform(), spec), 50, seed=1, label="champion:7")
    shown = frame.filter(pl.col("type") == "shown")
    assert shown["policy"].unique().to_list() == ["champion:7"]
    assert shown["features"].unique().to_list() == [spec.fingerprint]
