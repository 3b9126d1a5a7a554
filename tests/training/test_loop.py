"""The loop on a real registry: learn, try on visitors, promote by what they did, learn again."""

from __future__ import annotations

import polars as pl
import pytest

from benchmarks.learning.logs import played_log
from benchmarks.learning.play import MONDAY
from data.arrivals import arrange
from data.catalog import dump_catalog
from data.clock import now
from data.domain import DAY
from data.errors import BadInput, Unavailable
from policy.following import read_pointer
from policy.policies import Always, DayZero
from policy.registry import CHALLENGER, CHAMPION, Registry
from policy.syncing import trial_share
from tests.serving.shops import make_workspace
from tests.training.logs import CATALOG, SKINCARE
from training.jobs import run_job
from training.loop import Loop, alone
from training.promotion import Promotion
from training.sources import Source
from training.training import TrainingOptions

OPTIONS = TrainingOptions(learners=("behavior",), seed=1)


def source(*frames: pl.DataFrame) -> Source:
    frame = pl.concat(frames, how="diagonal_relaxed")
    return Source("test", arrange(frame, CATALOG), int(frame["received_at"].to_physical().max()))


def moved(frame: pl.DataFrame, to: int) -> pl.DataFrame:
    """The log with its first day at another time."""
    times = [name for name in ("at", "received_at", "shown_at") if name in frame.columns]
    return frame.with_columns(
        (pl.col(name).cast(pl.Int64) + (to - MONDAY)).cast(pl.Datetime("us", "UTC")) for name in times
    )


def past(seed: int = 1) -> pl.DataFrame:
    """2,000 visitors under day zero, all settled before now."""
    return moved(played_log(SKINCARE, DayZero(0.5), 2_000, seed, days=20.0, label="baseline"), now() - 40 * DAY)


def trial(policy, label: str, seed: int, n: int = 1_500) -> pl.DataFrame:
    """Visitors who came after now."""
    return moved(played_log(SKINCARE, policy, n, seed, days=5.0, label=label), now() + DAY)


@pytest.fixture
def shop(tmp_path):
    workspace = make_workspace(tmp_path, dump_catalog(CATALOG))
    registry = Registry.create(workspace)
    return registry, Promotion(registry, workspace, CATALOG.journey), workspace


def loop(shop) -> Loop:
    return Loop(shop[0], shop[1], CATALOG, OPTIONS)


def test_a_version_is_tried_promoted_by_its_visitors_and_the_next_one_learned(shop):
    registry, _, workspace = shop
    first = loop(shop).round(source(past()))
    assert (first.promoted, first.on_trial) == (None, 1)
    assert trial_share(registry.version(CATALOG.journey, 1)) == 0.5
    assert read_pointer(workspace.policies, CATALOG.journey).challenger.share == 0.5

    still = loop(shop).round(source(past(), trial(DayZero(0.5), "baseline", 5, 60)))
    assert (still.job, still.on_trial) == (None, 1)
    assert "Trial of version 1" in still.decisions[0]

    # The challenger's visitors buy; the others get nothing and hardly ever do.
    seen = source(past(), trial(Always("none"), "baseline", 2), trial(Always("baseline"), "challenger:1", 3))
    second = loop(shop).round(seen)
    assert second.trial.answer == "better"
    assert second.promoted == 1
    assert registry.at_alias(CATALOG.journey, CHAMPION).tags["promoted_by"] == "trial"
    assert second.job.version.version == 2
    assert second.job.version.tags["judged_against"] == "1"
    assert second.on_trial in (2, None)


def test_a_trial_that_loses_is_ended_and_nothing_goes_live(shop):
    registry = shop[0]
    loop(shop).round(source(past()))
    seen = source(past(), trial(Always("baseline"), "baseline", 2), trial(Always("none"), "challenger:1", 3))
    result = loop(shop).round(seen)
    assert result.trial.answer == "worse"
    assert result.promoted is None
    assert registry.at_alias(CATALOG.journey, CHAMPION) is None
    assert trial_share(registry.version(CATALOG.journey, 1)) == 0.0


def test_nothing_is_learned_from_what_was_learned_from_already(shop):
    _, promotion, _ = shop
    loop(shop).round(source(past()))
    promotion.end_trial()
    again = loop(shop).round(source(past()))
    assert again.job is None
    assert "Too little is new" in again.decisions[-1]


def test_a_job_registers_nothing_where_nothing_can_be_learned(shop):
    registry = shop[0]
    with pytest.raises(BadInput, match="settled episodes"):
        run_job(registry, CATALOG, source(past().head(40)), OPTIONS)
    assert registry.model(CATALOG.journey) is None


def test_the_champion_is_not_registered_again(shop):
    registry, promotion, _ = shop
    log = source(past())
    first = run_job(registry, CATALOG, log, OPTIONS)
    promotion.promote(first.version.version, is_forced=True)
    again = run_job(registry, CATALOG, log, OPTIONS)
    assert again.version is None
    assert "give the champion again" in again.notes[-1]
    assert len(registry.versions(CATALOG.journey)) == 1


def test_a_version_on_trial_stays_the_challenger(shop):
    registry, promotion, _ = shop
    run_job(registry, CATALOG, source(past()), OPTIONS)
    promotion.start_trial(1, 0.5)
    job = run_job(registry, CATALOG, source(past(4)), OPTIONS)
    assert (job.version.version, job.is_challenger) == (2, False)
    assert registry.at_alias(CATALOG.journey, CHALLENGER).version == 1
    assert "version 1 is on trial" in job.notes[-1]


def test_looks_are_counted_since_the_last_promotion(shop):
    registry, promotion, _ = shop
    assert run_job(registry, CATALOG, source(past()), OPTIONS).trained.verdict.look == 1
    assert run_job(registry, CATALOG, source(past(2)), OPTIONS).trained.verdict.look == 2
    promotion.promote(2, is_forced=True)
    assert run_job(registry, CATALOG, source(past(3)), OPTIONS).trained.verdict.look == 1


def test_two_loops_do_not_decide_at_once(tmp_path):
    with alone(tmp_path), pytest.raises(Unavailable, match="another retraining"), alone(tmp_path):
        pass
