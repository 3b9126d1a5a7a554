"""One policy on one log: off-policy estimates, the realized mean of its own arm, and how much the log can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training.intervals import Interval, wilson
from training.judging import Judged, Target, can_tell, judge_policy, lacks_propensities, without_bounds
from training.table import Table

if TYPE_CHECKING:
    from rich.console import Console

CANNOT: Final = (
    "no estimate: no settled episode can tell. Off-policy estimates need episodes whose asks were drawn by chance, "
    "each with its logged propensity"
)
FEW: Final = 30.0
"""Effective episodes below which an estimate is a rumor."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a log says about a policy.

    Attributes:
        target: the policy.
        judged: its estimates; ``None`` where no episode can tell.
        arm: realized mean of the log's own arm of that policy, where it has one.
        n_settled: settled episodes in the log.
        notes: what the reader should know.
    """

    target: Target
    judged: Judged | None
    arm: Interval | None
    n_settled: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        judged = self.judged
        none = Interval(None, None, None, 0, reason=CANNOT)
        return {
            "policy": self.target.name,
            **(none if judged is None else judged.value).to_json(),
            "estimates": {} if judged is None else {name: one.to_json() for name, one in judged.estimates.items()},
            "effective_sample_size": None if judged is None else judged.diagnostics.effective_sample_size,
            "effective_conversions": None if judged is None else judged.diagnostics.effective_conversions,
            "max_weight": None if judged is None else judged.diagnostics.max_weight,
            "mean_weight": None if judged is None else judged.diagnostics.mean_weight,
            "removed_mass": None if judged is None else judged.removed_mass,
            "arm_mean": None if self.arm is None else self.arm.to_json(),
            "episodes": {"settled": self.n_settled, "used": 0 if judged is None else judged.diagnostics.n_episodes},
            "notes": list(self.notes),
        }


def evaluate(table: Table, target: Target, notes: tuple[str, ...] = ()) -> Evaluation:
    """Judges a policy on all settled episodes of a log."""
    settled = table.is_mature & table.is_learnable
    arm = _arm_mean(table, settled, f"holdout:{target.name}")
    judged = judge_policy(table, settled, target) if can_tell(table, settled).any() else None
    if judged is not None and lacks_propensities(table, settled):
        judged = without_bounds(
            judged, "no interval: episodes without propensities were left out, and they are not alike"
        )
    lacking = lacks_propensities(table, settled)
    if lacking:
        notes += (
            f"{lacking:,} of {int(settled.sum()):,} settled episodes lack a propensity and are left out; those tend to "
            "be the long ones, so that no interval can be given for all",
        )
    if judged is not None:
        found = judged.diagnostics
        if found.effective_sample_size < FEW:
            notes += (
                f"little overlap: {found.n_episodes:,} episodes are worth {found.effective_sample_size:,.1f} under "
                "this policy; the log hardly ever did what it would do",
            )
        if judged.removed_mass > 0.0:
            notes += (
                f"{100 * judged.removed_mass:.1f} % of what it would ask under today's catalog was not eligible in "
                "this log, which is silent there",
            )
    return Evaluation(target, judged, arm, int(settled.sum()), notes)


def _arm_mean(table: Table, settled: np.ndarray, label: str) -> Interval | None:
    """What the arm of that label earned itself."""
    labels = table.steps["policy"].fill_null("").to_numpy() == label
    n_steps = np.bincount(table.episode, minlength=table.n_episodes)
    is_arm = settled & (np.bincount(table.episode, labels, table.n_episodes) == n_steps) & (n_steps > 0)
    n = int(is_arm.sum())
    if n == 0:
        return None
    if table.catalog.reward == "conversion":
        return wilson(int(table.rewards[is_arm].sum()), n)
    rewards = table.rewards[is_arm]
    half = 1.96 * float(rewards.std(ddof=1)) / np.sqrt(n) if n > 1 else float("inf")
    mean = float(rewards.mean())
    if not np.isfinite(half):
        return Interval(mean, None, None, n, reason="one episode has no spread")
    return Interval(mean, mean - float(half), mean + float(half), n)


def render_evaluation(result: Evaluation, console: Console) -> None:
    """Prints an evaluation."""
    from training.job_view import amount, bounds, render_values

    if result.judged is None:
        console.print(f"{result.target.name}: {CANNOT}.")
    else:
        render_values({result.target.name: result.judged}, console)
        for name, one in result.judged.estimates.items():
            console.print(f"  {name}: {amount(one.value)} ({bounds(one)})" + (f"; {one.reason}" if one.reason else ""))
    if result.arm is not None:
        console.print(
            f"Its own arm in this log earned {amount(result.arm.value)} ({bounds(result.arm)}) "
            f"in {result.arm.n:,} episodes."
        )
    for note in result.notes:
        console.print(f"note: {note}")
