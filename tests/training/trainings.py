"""A small real training for tests: a played log, a policy written by hand, judged as any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import polars as pl

from benchmarks.learning.logs import played_log
from data.arrivals import arrange
from data.domain import DAY
from data.simulator.truth import MONDAY
from data.simulator.worlds import world
from policy.explorers import Greedy
from policy.policies import Uniform
from policy.scorers import ConstantScorer
from training.gate import judge
from training.incumbent import day_zero
from training.judging import Judged, evidence_for, fixed_target, judge_policy
from training.splits import split
from training.table import Table, table_of
from training.training import Candidate, Trained, spec_for

N = 1_500
CATALOG = world("skincare").catalog
NOW = MONDAY + 400 * DAY
YARDSTICKS = ("baseline", "direct", "random")


@dataclass(frozen=True, eq=False)
class Case:
    """A log, what was learned from it, and other policies on the same episodes."""

    frame: pl.DataFrame
    table: Table
    trained: Trained
    others: Mapping[str, Judged]


@lru_cache(maxsize=1)
def case() -> Case:
    """A policy that favors asks of little effort, trained on 1,500 visitors of a random policy."""
    frame = played_log(world("skincare"), Uniform(), N, seed=3, days=20)
    table = table_of(arrange(frame, CATALOG), CATALOG, now=NOW)
    return Case(frame, table, *trained_on(table))


def trained_on(table: Table) -> tuple[Trained, dict[str, Judged]]:
    """The policy written by hand, judged on a table."""
    splits, incumbent = split(table), day_zero(CATALOG)
    asks = tuple(ask.id for ask in CATALOG.asks)
    values = {ask.id: 0.1 / (1 + ask.effort) for ask in CATALOG.asks}
    candidate = Candidate(
        "by hand",
        ConstantScorer(asks, values, {ask.id: 0.5 - 0.04 * ask.effort for ask in CATALOG.asks}),
        Greedy(0.6),
        {"n_steps": len(table), "unlucky": float("nan")},
    )
    spec = spec_for(table, splits)
    judged = judge_policy(table, splits.judge, candidate.target(spec))
    live = judge_policy(table, splits.judge, incumbent.target)
    verdict = judge(evidence_for(judged, live, table, splits.judge), look=1, has_champion=False)
    others = {name: judge_policy(table, splits.judge, fixed_target(name, CATALOG)) for name in YARDSTICKS}
    return Trained(candidate, spec, splits, {"by hand": "the default"}, judged, live, verdict), others


def without_evidence(trained: Trained) -> Trained:
    """The same training where no episode could tell."""
    none = replace(trained.verdict.candidate, value=None, low=None, high=None, reason="no episode can tell")
    verdict = replace(trained.verdict, answer="not enough evidence", candidate=none, difference=none)
    return replace(trained, judged=None, incumbent=None, verdict=verdict)
