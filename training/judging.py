"""What another policy would have earned on a log: its probabilities at the logged decisions, and what they say.

The policy is judged as it would be served, exploration included, by the very ``distribution`` that serves it. Only
episodes of one arm that drew its asks by chance can tell: arms that always do the same enter no importance weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from data.domain import Catalog
from features.columns import FloatArray
from features.spec import FeatureSpec
from policy.candidates import NOTHING, Candidates
from policy.crowd import BoolArray
from policy.policies import Always, DayZero, Policy, Uniform
from training.gate import Evidence
from training.intervals import Interval
from training.ope import Diagnostics, LoggedSteps, diagnostics, difference, estimate
from training.table import Table, candidates_of

IMPOSSIBLE: Final = (
    "no estimate: the log hardly ever did what this policy would do, and corrects its predictions to {:.3f}, "
    "which is no possible value"
)
FIXED_ARMS: Final = ("holdout:baseline", "holdout:direct", "holdout:none", "fallback")
"""Policy labels of the log that draw nothing."""
ESTIMATOR: Final = "dr"
"""The estimator that speaks for a policy."""
_FEWEST_STEPS: Final = 50
_ROUNDING: Final = 1e-6
SHOWN: Final = ("dr", "sndr", "snips", "pdis", "dm")


@dataclass(frozen=True)
class Target:
    """A policy to be judged, and the features it wants."""

    name: str
    policy: Policy
    spec: FeatureSpec | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """A policy's probabilities over a log, and what follows.

    Attributes:
        target: the policy.
        logged: the episodes that can tell, with the policy's probabilities.
        estimates: value by estimator.
        diagnostics: how much of the log speaks about the policy.
        removed_mass: mean probability that the policy, under today's guardrails, puts on asks that the log says
            could not be shown.
    """

    target: Target
    logged: LoggedSteps
    estimates: dict[str, Interval]
    diagnostics: Diagnostics
    removed_mass: float

    @property
    def value(self) -> Interval:
        """The value that speaks for the policy; none where it is none that could ever be earned."""
        found = self.estimates[ESTIMATOR]
        low, high = self.logged.return_range or (-np.inf, np.inf)
        if found.value is None or low <= found.value <= high:
            return found
        return Interval(None, None, None, found.n, found.level, IMPOSSIBLE.format(found.value))


def fixed_target(name: str, catalog: Catalog) -> Target:
    """A policy that needs no model: ``baseline``, ``direct``, ``random`` or ``day zero``.

    Raises:
        KeyError: it is none of these.
    """
    policies: dict[str, Policy] = {
        "baseline": Always("baseline"),
        "direct": Always("direct"),
        "random": Uniform(),
        "day zero": DayZero(catalog.exploration.day_zero),
    }
    return Target(name, policies[name])


def can_tell(table: Table, episodes: BoolArray) -> BoolArray:
    """Which of the chosen episodes may be weighted, shape (E,): propensities known, one arm, drawn by chance."""
    labels = table.steps["policy"].fill_null("").to_numpy()
    sizes = table.candidates.sizes
    is_bad = np.isnan(table.propensity) | np.isin(labels, FIXED_ARMS)
    is_bad |= (table.propensity == 1.0) & (sizes > 1)
    bad = np.bincount(table.episode, is_bad, table.n_episodes) > 0
    arms = pl.DataFrame({"episode": table.episode, "label": labels}).group_by("episode").agg(pl.col("label").n_unique())
    is_mixed = np.zeros(table.n_episodes, dtype=np.bool_)
    is_mixed[arms["episode"].to_numpy()] = arms["label"].to_numpy() > 1
    chosen: BoolArray = episodes & ~bad & ~is_mixed & (np.bincount(table.episode, minlength=table.n_episodes) > 0)
    return chosen


def doubts_about(table: Table, episodes: BoolArray) -> str:
    """Why the logged propensities cannot all be true, in words; empty: nothing speaks against them.

    Under true propensities ``1 / p`` of what was drawn has mean n, the number of asks that could be drawn, or less.
    More, beyond five standard errors, is no chance; nor is a lone candidate that was not certain.
    """
    rows = np.flatnonzero(episodes[table.episode] & ~np.isnan(table.propensity))
    if len(rows) < _FEWEST_STEPS:
        return ""
    sizes, propensity = table.candidates.sizes[rows], table.propensity[rows]
    is_odd = (sizes == 1) & (propensity < 1.0 - _ROUNDING)
    if is_odd.any():
        return (
            f"{int(is_odd.sum()):,} asks were the only eligible one and yet have a propensity below 1 "
            f"(like {propensity[is_odd][0]:g})"
        )
    inverse = 1.0 / (propensity * sizes)
    error = float(inverse.std(ddof=1) / np.sqrt(len(rows)))
    if inverse.mean() - 5.0 * error > 1.0 + _ROUNDING:
        return (
            f"the shown asks' propensities are too small to be true: 1/propensity is {inverse.mean():.2f} times the "
            f"number of eligible asks in the mean of {len(rows):,} decisions, and at most 1 is possible"
        )
    return ""


def lacks_propensities(table: Table, episodes: BoolArray) -> int:
    """How many of the chosen episodes have a drawn ask without its propensity.

    Leaving them out favors short episodes, so that what the others say is about other visitors.
    """
    labels = table.steps["policy"].fill_null("").to_numpy()
    is_unknown = np.isnan(table.propensity) & ~np.isin(labels, FIXED_ARMS)
    lacking = episodes & (np.bincount(table.episode, is_unknown, table.n_episodes) > 0)
    return int(lacking.sum())


def probabilities_of(target: Target, table: Table) -> tuple[FloatArray, FloatArray | None]:
    """The policy's probability, and its value if it has values, for each of the table's candidates, shape (m,)."""
    candidates = table.candidates
    if isinstance(target.policy, Always):
        return _always(target.policy, candidates), None
    if target.spec is not None:
        candidates = table.candidates_with_features(target.spec)
    distribution = target.policy.distribution(candidates)
    return distribution.probabilities, None if distribution.scores is None else distribution.scores.values


def judge_policy(table: Table, episodes: BoolArray, target: Target) -> Judged:
    """Estimates the policy's value from the chosen episodes.

    The doubly robust estimators correct the policy's own predictions, or 0 where it makes none; they must come from a
    model that has not seen these episodes.

    Args:
        table: the log.
        episodes: shape (E,); mature episodes to judge on; those that cannot tell are left out.
        target: the policy.

    Raises:
        BadInput: none of the episodes can tell.
    """
    chosen = table.of(episodes)
    probabilities, predicted = probabilities_of(target, chosen)
    logged = logged_steps(chosen, can_tell(chosen, episodes), probabilities, predicted)
    return Judged(
        target,
        logged,
        dict(estimate(logged, list(SHOWN))),
        diagnostics(logged),
        removed_mass(chosen, episodes, target),
    )


def without_bounds(judged: Judged, reason: str) -> Judged:
    """The same estimates without intervals."""
    bare = {
        name: replace(one, low=None, high=None, reason=reason if one.value is not None else one.reason)
        for name, one in judged.estimates.items()
    }
    return replace(judged, estimates=bare)


def logged_steps(
    table: Table, episodes: BoolArray, probabilities: FloatArray, values: FloatArray | None
) -> LoggedSteps:
    """The chosen episodes as estimators take them; the reward sits on the last step."""
    rows = np.flatnonzero(episodes[table.episode])
    shown = table.shown[rows]
    groups, n = table.candidates.groups, len(table)
    sizes = np.bincount(table.episode[rows], minlength=table.n_episodes)
    numbers = np.cumsum(sizes > 0) - 1
    is_last = np.append(np.diff(table.episode[rows]) != 0, True) if len(rows) else np.empty(0, dtype=np.bool_)
    predicted = np.zeros(len(probabilities)) if values is None else values
    worth = np.bincount(groups, probabilities * predicted, n).astype(np.float64, copy=False)
    # The behavior's other propensities are not logged: what was drawn bounds what could be.
    best = np.maximum.reduceat(probabilities, table.candidates.offsets[:-1]) if n else np.empty(0)
    return LoggedSteps(
        episode=numbers[table.episode[rows]],
        step=table.steps["step"].to_numpy()[rows],
        reward=np.where(is_last, table.rewards[table.episode[rows]], 0.0),
        propensity=table.propensity[rows],
        # An ask that the catalog has no more is never asked by the policy: weight 0, and no reason to leave it out.
        target=np.where(shown >= 0, np.minimum(probabilities[shown], 1.0), 0.0),
        q=np.where(shown >= 0, predicted[shown], 0.0),
        v=worth[rows],
        cluster=table.episodes.episodes["owner"].to_numpy()[np.flatnonzero(sizes > 0)],
        max_ratio=_largest_ratios(table, rows, best),
        return_range=_return_range(table, episodes),
    )


def removed_mass(table: Table, episodes: BoolArray, target: Target) -> float:
    """Mean probability of the policy on asks that today's guardrails allow and the log's eligible sets do not have."""
    rows = np.flatnonzero(episodes[table.episode])
    possible = np.zeros((len(table), len(table.catalog.asks) + 1), dtype=np.bool_)
    possible[table.candidates.groups, table.candidates.asks] = True
    extra = table.allowed & ~possible[:, :-1]
    rows = rows[extra[rows].any(axis=1)]
    if len(rows) == 0:
        return 0.0
    open_now = np.zeros((len(rows), possible.shape[1]), dtype=np.bool_)
    open_now[:, :-1] = table.allowed[rows]
    open_now[:, -1] = table.catalog.allow_nothing
    candidates = candidates_of(table.catalog, table.crowd.summary.take(rows), open_now)
    if target.spec is not None:
        from features.matrix import FeatureColumns

        columns = FeatureColumns(target.spec, table.catalog)
        given = table.given(target.spec).take(rows)
        features = columns.matrix(table.crowd.summary.take(rows), given, candidates.offsets, candidates.asks)
        candidates = replace(candidates, features=features)
    if isinstance(target.policy, Always):
        probabilities = _always(target.policy, candidates)
    else:
        probabilities = target.policy.distribution(candidates).probabilities
    is_extra = ~possible[rows][candidates.groups, candidates.asks]
    n_steps = int(episodes[table.episode].sum())
    return float(probabilities[is_extra].sum() / max(n_steps, 1))


def evidence_for(candidate: Judged, incumbent: Judged, table: Table, episodes: BoolArray) -> Evidence:
    """What the judging split says about a candidate against what is live."""
    started = table.episodes.episodes["started_at"].to_physical().to_numpy()[episodes]
    days = (started.max() - started.min()) / 86_400e6 if len(started) > 1 else 0.0
    return Evidence(
        difference_at=lambda level: difference(candidate.logged, incumbent.logged, ESTIMATOR, level=level),
        candidate=candidate.value,
        incumbent=incumbent.value,
        effective_sample_size=candidate.diagnostics.effective_sample_size,
        effective_conversions=candidate.diagnostics.effective_conversions,
        max_weight=candidate.diagnostics.max_weight,
        n_episodes=candidate.diagnostics.n_episodes,
        removed_mass=candidate.removed_mass,
        has_propensities=not doubts_about(table, episodes) and lacks_propensities(table, episodes) == 0,
        visitors_per_day=len(started) / days if days > 0.5 else None,
        reward=table.catalog.reward,
    )


def _always(policy: Always, candidates: Candidates) -> FloatArray:
    """Probabilities of a fixed policy; where it would ask nothing and that was impossible, all are 0."""
    probabilities = np.zeros(len(candidates.asks))
    rows = {"baseline": candidates.baseline, "direct": candidates.direct}.get(policy.what)
    if rows is None:
        rows = np.full(len(candidates.offsets) - 1, -1)
    nothing = np.full(len(rows), -1)
    is_nothing = candidates.asks == NOTHING
    nothing[candidates.groups[is_nothing]] = np.flatnonzero(is_nothing)
    rows = np.where(rows >= 0, rows, nothing)
    probabilities[rows[rows >= 0]] = 1.0
    return probabilities


def _largest_ratios(table: Table, rows: np.ndarray, best: FloatArray) -> FloatArray:
    """A bound of target over behavior at each step: the target's largest probability over the rarest draw seen."""
    sizes = table.candidates.sizes[rows]
    rarest = np.ones(int(sizes.max(initial=1)) + 1)
    np.minimum.at(rarest, sizes, table.propensity[rows])
    # With more candidates, none is drawn more often.
    rarest = np.minimum.accumulate(rarest)
    ratios: FloatArray = best[rows] / rarest[sizes]
    return ratios


def _return_range(table: Table, episodes: BoolArray) -> tuple[float, float]:
    if table.catalog.reward == "conversion":
        return 0.0, 1.0
    seen = table.rewards[episodes]
    return float(min(0.0, seen.min(initial=0.0))), float(max(0.0, seen.max(initial=0.0)))
