"""One training: from a log to a judged policy. Registering and promoting are for ``training.jobs``.

Fit, select and judge are three parts of the log in time order by visitor. Learners make scorers of the first, the
second chooses among them, and the third tells the gate what the chosen one is worth, exploration included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.errors import BadInput
from features.frames import learn_spec
from features.spec import FeatureSpec, with_edges
from policy.crowd import BoolArray
from policy.explorers import Explorer, InverseGap
from policy.policies import Model
from policy.scorers import Scorer
from training.gate import Evidence, Verdict, judge
from training.incumbent import Incumbent
from training.intervals import Interval
from training.judging import ESTIMATOR, Judged, Target, can_tell, evidence_for, judge_policy
from training.learners.protocol import Learned, Lessons, Progress, quiet
from training.learners.registry import DEFAULT, learn
from training.ope import difference
from training.splits import Splits, split
from training.table import Table

FEWEST_EPISODES: Final = 60
"""Fewest mature episodes that anything is learned from."""
_EDGE_ROWS: Final = 20_000
_STEPS_QUANTILE: Final = 0.95


@dataclass(frozen=True)
class Candidate:
    """A learned policy as it would be served."""

    name: str
    scorer: Scorer
    explorer: Explorer
    facts: Mapping[str, float | int | str]

    def target(self, spec: FeatureSpec) -> Target:
        """The policy to be judged."""
        return Target(self.name, Model(self.scorer, self.explorer), spec)


@dataclass(frozen=True, eq=False)
class Trained:
    """The outcome of a training.

    Attributes:
        candidate: the policy that was chosen.
        spec: its features.
        splits: which episodes did what.
        selection: by learner, how it compared with the default one on the selecting episodes, in words.
        judged: the candidate on the judging episodes; ``None`` where they cannot tell.
        incumbent: what is live, on the same episodes.
        verdict: the gate's.
    """

    candidate: Candidate
    spec: FeatureSpec
    splits: Splits
    selection: Mapping[str, str]
    judged: Judged | None
    incumbent: Judged | None
    verdict: Verdict


@dataclass(frozen=True)
class TrainingOptions:
    """What may be chosen; ``learners`` are names of the portfolio, the first is the one others must beat."""

    learners: Sequence[str] = (DEFAULT, "cautious", "behavior")
    seed: int = 0
    threads: int = 1
    progress: Progress = quiet


def train(table: Table, incumbent: Incumbent, options: TrainingOptions) -> Trained:
    """Learns, selects and judges.

    Args:
        table: the log.
        incumbent: what is live.
        options: learners, seed, threads.

    Raises:
        BadInput: there is nothing to learn from; says what is missing.
    """
    splits = split(table)
    check_lessons(table, splits)
    spec = spec_for(table, splits)
    lessons = Lessons(
        table=table,
        steps=splits.teaching(table) & learnable_steps(table),
        episodes=splits.fit,
        spec=spec,
        incumbent=incumbent.scorer_for(spec),
        seed=options.seed,
        threads=options.threads,
        progress=options.progress,
    )
    explorer = explorer_for(table)
    candidates = [_candidate(name, learn(name, lessons), explorer) for name in options.learners]
    chosen, selection = select(table, splits, candidates, spec)
    judged, live = _judged(table, splits, chosen.target(spec), incumbent)
    verdict = _verdict(table, splits, judged, live, incumbent)
    return Trained(chosen, spec, splits, selection, judged, live, verdict)


def check_lessons(table: Table, splits: Splits) -> None:
    """Refuses a log that teaches nothing.

    Raises:
        BadInput: too few episodes are settled, or no visitor converted, or none of the catalog's asks was shown.
    """
    n_mature, window = (
        int(splits.fit.sum() + splits.select.sum() + splits.judge.sum()),
        table.catalog.conversion_window_s,
    )
    if n_mature < FEWEST_EPISODES:
        raise BadInput(
            f"the log has {n_mature} settled episodes (older than the conversion window of {window // 3600} h, of "
            f"{table.n_episodes} in all); at least {FEWEST_EPISODES} are needed to learn from. "
            "Let more visits pass, or shorten conversion_window"
        )
    if not (table.rewards[splits.fit] > 0).any():
        raise BadInput(
            f"none of the {int(splits.fit.sum())} settled episodes to learn from earned anything: without one "
            f"conversion nothing can be learned about {table.catalog.goal!r}. Check that conversions reach the log"
        )
    if not ((table.asks >= 0) & splits.teaching(table)).any():
        raise BadInput("the log shows no ask that the catalog has: was the catalog renamed? see: smallyes validate")


def spec_for(table: Table, splits: Splits) -> FeatureSpec:
    """The features' encoding, learned from the steps that teach: vocabularies, and edges for every number."""
    rows = np.flatnonzero(splits.teaching(table))
    spec = learn_spec(table.catalog, table.decisions[rows])
    some = rows[:: max(1, len(rows) // _EDGE_ROWS)]
    return with_edges(spec, table.features(spec, some))


def learnable_steps(table: Table) -> BoolArray:
    """Steps that may be learned from at all: not those of visitors who asked to be left out."""
    learn_flags = table.steps["learn"].fill_null(value=True).to_numpy()
    return np.asarray(learn_flags, dtype=np.bool_)


def explorer_for(table: Table) -> Explorer:
    """How the policy will explore: the catalog's shares, over as many asks as an episode has."""
    catalog = table.catalog
    longest = catalog.limits.max_asks_per_session
    lengths = table.episodes.episodes["n_steps"].to_numpy()
    steps = float(longest) if longest else float(np.quantile(lengths, _STEPS_QUANTILE)) if len(lengths) else 1.0
    return InverseGap(loss=catalog.exploration.loss, steps=max(1.0, steps), floor=catalog.exploration.floor)


def select(
    table: Table, splits: Splits, candidates: Sequence[Candidate], spec: FeatureSpec
) -> tuple[Candidate, dict[str, str]]:
    """The first candidate, unless another is better than it beyond doubt on the selecting episodes."""
    first, words = candidates[0], {candidates[0].name: "the default"}
    if len(candidates) == 1 or not can_tell(table, splits.select).any():
        return first, words | {other.name: "not compared: no episode can tell" for other in candidates[1:]}
    best, most, standard = first, 0.0, judge_policy(table, splits.select, first.target(spec))
    for other in candidates[1:]:
        judged = judge_policy(table, splits.select, other.target(spec))
        gain = difference(judged.logged, standard.logged, ESTIMATOR)
        words[other.name] = _words(gain.value, gain.low, gain.high)
        if gain.low is not None and gain.low > most and judged.diagnostics.effective_sample_size >= 30:
            best, most = other, gain.low
    return best, words


def _words(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "cannot be compared on this log"
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f}) against the default"


def _candidate(name: str, learned: Learned, explorer: Explorer) -> Candidate:
    return Candidate(name, learned.scorer, explorer, learned.facts)


def _judged(table: Table, splits: Splits, target: Target, incumbent: Incumbent) -> tuple[Judged | None, Judged | None]:
    if not can_tell(table, splits.judge).any():
        return None, None
    judged = judge_policy(table, splits.judge, target)
    return judged, judge_policy(table, splits.judge, incumbent.target)


def _verdict(table: Table, splits: Splits, judged: Judged | None, live: Judged | None, incumbent: Incumbent) -> Verdict:
    if judged is None or live is None:
        return judge(_without_evidence(table, splits), look=incumbent.look, has_champion=incumbent.has_champion)
    return judge(
        evidence_for(judged, live, table, splits.judge), look=incumbent.look, has_champion=incumbent.has_champion
    )


def _without_evidence(table: Table, splits: Splits) -> Evidence:
    """What the gate is told where no episode can tell."""
    why = "no episode of the judging part can tell: propensities are unknown, or nothing was drawn by chance"
    none = Interval(None, None, None, 0, reason=why)
    return Evidence(
        difference_at=lambda level: Interval(None, None, None, 0, level, why),
        candidate=none,
        incumbent=none,
        effective_sample_size=None,
        effective_conversions=None,
        max_weight=None,
        n_episodes=int(splits.judge.sum()),
        removed_mass=0.0,
        has_propensities=not np.isnan(table.propensity[splits.judge[table.episode]]).any(),
        reward=table.catalog.reward,
    )
