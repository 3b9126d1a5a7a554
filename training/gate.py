"""The gate: may a candidate go live on what the log alone says?

Three answers. ``better``: the lower bound of the paired difference to what is live is above 0, and the evidence can
carry that (known propensities, enough effective episodes and conversions, little mass outside the logged eligible
asks). ``worse``: the upper bound is below 0. Everything else is ``not enough evidence``, with the trial that would
settle it; a trial is judged by ``training.trial``.

**Error.** Look ``k`` since the last promotion spends ``alpha_k = 0.02 * 6 / (pi^2 k^2)``, which sums to 0.02 over all
looks for ever. A promotion is wrong only when the *lower* bound is above the truth, so ``alpha_k`` is one-sided: the
two-sided interval is taken at level ``1 - 2 alpha_k``, of which each side misses with ``alpha_k``. A union bound needs
no independence between looks at growing logs. (Weighted rare conversions are skewed to the right, so what an interval
for them misses, it misses mostly above its upper bound: the side that promotes is the safer one.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from training.intervals import Interval
from training.trial_size import TrialSize, visitors_needed

__all__ = ["Evidence", "Floors", "TrialPlan", "Verdict", "alpha_at", "judge", "visitors_needed"]

Answer = Literal["better", "worse", "not enough evidence"]

TOTAL_ALPHA: Final = 0.02
"""Probability of any false promotion over all looks since the last one."""

SHARE_WITHOUT_CHAMPION: Final = 0.5
SHARE_WITH_CHAMPION: Final = 0.1
ASSUMED_EFFECT: Final = 0.2
"""The relative effect a trial is planned for where the log suggests none."""

PLANNED_EFFECTS: Final = (0.1, 1.0)
"""A suggested effect is believed within these bounds only: off-policy estimates far above are mostly luck."""

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the judging split says about a candidate, exploration included.

    Attributes:
        difference_at: candidate - incumbent, paired by episode, as a two-sided interval at the level it is given.
        candidate: value of the candidate per episode.
        incumbent: value of what is live (the champion, or day zero's policy).
        effective_sample_size: of the candidate's weights; ``None``: not to be had.
        effective_conversions: conversions that the candidate's weights leave.
        max_weight: largest weight of an episode.
        n_episodes: episodes in the judging split.
        removed_mass: share of the candidate's probability on asks outside the logged eligible set, 0 to 1.
        has_propensities: whether all propensities were logged, none estimated.
        visitors_per_day: traffic, to turn visitors into days.
        reward: what a value is: a conversion rate, or money.
    """

    difference_at: Callable[[float], Interval]
    candidate: Interval
    incumbent: Interval
    effective_sample_size: float | None
    effective_conversions: float | None
    max_weight: float | None
    n_episodes: int
    removed_mass: float
    has_propensities: bool
    visitors_per_day: float | None = None
    reward: Literal["conversion", "value"] = "conversion"


@dataclass(frozen=True)
class Floors:
    """What evidence must have before it is believed.

    Attributes:
        effective_sample_size: below it intervals of weighted rewards do not hold what they promise.
        effective_conversions: below it a gain rests on a handful of visitors.
        removed_mass: the largest share of asks that the log cannot speak about.
    """

    effective_sample_size: float = 30.0
    effective_conversions: float = 10.0
    removed_mass: float = 0.05


@dataclass(frozen=True)
class TrialPlan:
    """The trial that would settle it.

    Attributes:
        share: sticky share of visitors for the challenger.
        relative_effect: the effect it is planned for.
        is_assumed: whether that effect is assumed, or suggested by the log.
        size: visitors for 80 % power; ``None`` where that cannot be said.
        days: the same in days of traffic.
    """

    share: float
    relative_effect: float
    is_assumed: bool
    size: TrialSize | None
    days: int | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "share": self.share,
            "relative_effect": self.relative_effect,
            "is_assumed": self.is_assumed,
            "visitors": None if self.size is None else self.size.total,
            "visitors_control": None if self.size is None else self.size.control,
            "visitors_challenger": None if self.size is None else self.size.challenger,
            "days": self.days,
        }


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        answer: better, worse, or not enough evidence.
        reasons: why, one clause each.
        text: the verdict in plain words, numbers and uncertainty included.
        difference: candidate - incumbent at this look's level.
        candidate: value of the candidate.
        incumbent: value of what is live.
        look: 1 for the first since the last promotion.
        alpha: error that this look may spend.
        trial: what would settle it; ``None`` unless there is not enough evidence.
    """

    answer: Answer
    reasons: tuple[str, ...]
    text: str
    difference: Interval
    candidate: Interval
    incumbent: Interval
    look: int
    alpha: float
    trial: TrialPlan | None

    def to_json(self) -> dict[str, object]:
        """Plain values, never NaN."""
        return {
            "answer": self.answer,
            "reasons": list(self.reasons),
            "text": self.text,
            "difference": {**self.difference.to_json(), "level": self.difference.level},
            "candidate": self.candidate.to_json(),
            "incumbent": self.incumbent.to_json(),
            "look": self.look,
            "alpha": self.alpha,
            "trial": None if self.trial is None else self.trial.to_json(),
        }

    def to_tags(self) -> dict[str, str]:
        """Tags of the registered version: strings, ``unknown`` where there is no number."""
        value = self.candidate
        return {
            "gate": self.answer,
            "gate_reason": "; ".join(self.reasons),
            "value": _tag(value.value),
            "value_low": _tag(value.low),
            "value_high": _tag(value.high),
        }


def alpha_at(look: int) -> float:
    """The one-sided error that a look may spend: ``0.02 * 6 / (pi^2 k^2)``.

    Args:
        look: 1 for the first look since the last promotion.

    Raises:
        ValueError: look is below 1.

    Example:
        >>> [round(alpha_at(k), 5) for k in (1, 2, 10)]
        [0.01216, 0.00304, 0.00012]
    """
    if look < 1:
        raise ValueError(f"look must be at least 1, got {look}")
    return TOTAL_ALPHA * 6 / (math.pi**2 * look**2)


def judge(evidence: Evidence, *, look: int, has_champion: bool, floors: Floors | None = None) -> Verdict:
    """Better, worse, or not enough evidence.

    Args:
        evidence: of the judging split, on which nothing was fitted or selected.
        look: 1 for the first look since the last promotion, one more for every further candidate or log.
        has_champion: whether a learned policy is live; it sets the share of the trial that is offered.
        floors: what evidence must have.

    Raises:
        ValueError: look is below 1.

    Example:
        >>> evidence = Evidence(
        ...     difference_at=lambda level: Interval(0.011, 0.004, 0.018, 9000, level),
        ...     candidate=Interval(0.041, 0.034, 0.049, 9000),
        ...     incumbent=Interval(0.030, 0.026, 0.034, 9000),
        ...     effective_sample_size=3100.0, effective_conversions=120.0, max_weight=14.0,
        ...     n_episodes=9000, removed_mass=0.0, has_propensities=True,
        ... )
        >>> verdict = judge(evidence, look=1, has_champion=True)
        >>> verdict.answer
        'better'
        >>> print(verdict.text)
        Better: the candidate is at 4.1 % (3.4 to 4.9) against 3.0 % (2.6 to 3.4) for what is live, 1.1 points more (0.4 to 1.8, 97.6 % interval, look 1); 9,000 episodes, worth 3,100 under the candidate.
    """  # noqa: E501  # the text is one line
    floors = floors or Floors()
    alpha = alpha_at(look)
    difference = _finite(evidence.difference_at(1 - 2 * alpha))
    evidence = replace(evidence, candidate=_finite(evidence.candidate), incumbent=_finite(evidence.incumbent))
    answer, reasons = _decide(evidence, difference, floors)
    trial = _plan(evidence, has_champion) if answer == "not enough evidence" else None
    return Verdict(
        answer=answer,
        reasons=reasons,
        text=_text(answer, reasons, evidence, (difference, look), trial),
        difference=difference,
        candidate=evidence.candidate,
        incumbent=evidence.incumbent,
        look=look,
        alpha=alpha,
        trial=trial,
    )


def _decide(evidence: Evidence, difference: Interval, floors: Floors) -> tuple[Answer, tuple[str, ...]]:
    doubts = _doubts(evidence, floors)
    low, high = difference.low, difference.high
    if difference.value is None or low is None or high is None:
        why = difference.reason or "the difference to what is live has no interval"
        return "not enough evidence", (why, *doubts)
    if doubts:
        return "not enough evidence", doubts
    if high < 0:
        return "worse", ("the whole interval of the difference is below 0",)
    if low <= 0:
        return "not enough evidence", ("the interval of the difference contains 0",)
    conversions = _number(evidence.effective_conversions)
    if conversions is None or conversions < floors.effective_conversions:
        few = "an unknown number of" if conversions is None else f"only {conversions:.1f}"
        reason = f"the gain rests on {few} effective conversions, {floors.effective_conversions:g} are needed"
        return "not enough evidence", (reason,)
    return "better", ("the whole interval of the difference is above 0",)


def _doubts(evidence: Evidence, floors: Floors) -> tuple[str, ...]:
    """Why no interval of this evidence may be believed, in either direction."""
    doubts = []
    if not evidence.has_propensities:
        doubts.append("the log does not say how likely its asks were: no promotion without --force or a trial")
    size = _number(evidence.effective_sample_size)
    if size is None or size < floors.effective_sample_size:
        worth = "an unknown number of" if size is None else f"only {size:.1f}"
        doubts.append(
            f"the {evidence.n_episodes:,} episodes are worth {worth} episodes under the candidate, "
            f"{floors.effective_sample_size:g} are needed"
        )
    for name, value in (("the candidate", evidence.candidate.value), ("what is live", evidence.incumbent.value)):
        if _number(value) is None:
            doubts.append(f"the log gives no value of {name}")
    mass = _number(evidence.removed_mass)
    if mass is None or mass > floors.removed_mass:
        share = "an unknown share" if mass is None else f"{100 * mass:.1f} %"
        doubts.append(
            f"{share} of the candidate's asks were not eligible when the log was made, "
            f"at most {100 * floors.removed_mass:g} % may be"
        )
    return tuple(doubts)


def _plan(evidence: Evidence, has_champion: bool) -> TrialPlan:
    share = SHARE_WITH_CHAMPION if has_champion else SHARE_WITHOUT_CHAMPION
    base, value = evidence.incumbent.value, evidence.candidate.value
    effect, is_assumed = ASSUMED_EFFECT, True
    if base is not None and value is not None and base > 0 and value > base:
        effect, is_assumed = min(max(value / base - 1, PLANNED_EFFECTS[0]), PLANNED_EFFECTS[1]), False
    size = None
    if evidence.reward == "conversion" and base is not None and 0 < base * (1 + effect) < 1:
        size = visitors_needed(base, effect, share)
    days = None if size is None else size.days(_number(evidence.visitors_per_day))
    return TrialPlan(share, effect, is_assumed, size, days)


def _text(
    answer: Answer,
    reasons: tuple[str, ...],
    evidence: Evidence,
    measured: tuple[Interval, int],
    trial: TrialPlan | None,
) -> str:
    difference, look = measured
    unit, points = (" %", " points") if evidence.reward == "conversion" else ("", "")
    values = f"the candidate is at {_shown(evidence.candidate, evidence, unit)}"
    values += f" against {_shown(evidence.incumbent, evidence, unit)} for what is live"
    if difference.value is not None:
        values += f", {_difference(difference, evidence, points, look)}"
    size = _number(evidence.effective_sample_size)
    values += f"; {evidence.n_episodes:,} episodes"
    values += "" if size is None else f", worth {size:,.0f} under the candidate"
    if trial is None:
        return f"{answer.capitalize()}: {values}."
    why = "; ".join(reasons)
    return f"Not enough evidence: {why}. As far as the log can say, {values}. {_offer(trial)}"


def _difference(difference: Interval, evidence: Evidence, points: str, look: int) -> str:
    """The difference in words; its bounds are those of "more" or of "less", whichever is said."""
    gap = difference.value or 0.0
    sign = -1.0 if gap < 0 else 1.0
    bounds = sorted(sign * bound for bound in (difference.low, difference.high) if bound is not None)
    word = "less" if gap < 0 else "more"
    around = " to ".join(_amount(bound, evidence) for bound in bounds) if len(bounds) == 2 else "no interval"
    level = f"{100 * difference.level:.4g}" if difference.level > 0.995 else f"{100 * difference.level:.3g}"
    return f"{_amount(abs(gap), evidence)}{points} {word} ({around}, {level} % interval, look {look})"


def _offer(trial: TrialPlan) -> str:
    source = "assumed" if trial.is_assumed else "as the log suggests"
    effect = f"an effect of {100 * trial.relative_effect:.0f} % (relative, {source})"
    offer = f"A trial with a share of {trial.share:g} would settle it"
    if trial.size is None:
        return f"{offer}; how many visitors it takes cannot be said from this log."
    days = "" if trial.days is None else f", {trial.days:,} {'day' if trial.days == 1 else 'days'} of traffic"
    return (
        f"{offer}: for {effect} about {trial.size.challenger:,} visitors with the challenger "
        f"and {trial.size.control:,} without{days}."
    )


def _shown(value: Interval, evidence: Evidence, unit: str) -> str:
    if value.value is None:
        return f"an unknown value ({value.reason or 'no estimate'})"
    text = f"{_amount(value.value, evidence)}{unit}"
    if value.low is None or value.high is None:
        return f"{text} (no interval)"
    return f"{text} ({_amount(value.low, evidence)} to {_amount(value.high, evidence)})"


def _amount(value: float, evidence: Evidence) -> str:
    if evidence.reward == "value":
        return f"{value:.4g}"
    scaled = 100 * value
    if abs(scaled) >= 1e5:
        return f"{math.copysign(min(abs(scaled), 1e308), scaled):.4g}"
    return f"{scaled:.2f}" if 0 < abs(scaled) < 0.1 else f"{scaled:.1f}"


def _tag(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.6g}"


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _finite(interval: Interval) -> Interval:
    """The interval without numbers that are none: an estimator that overflowed has said nothing."""
    numbers = (interval.value, interval.low, interval.high)
    if all(number is None or math.isfinite(number) for number in numbers):
        return interval
    value = _number(interval.value)
    reason = interval.reason or "the estimate is not a finite number"
    return Interval(value, None, None, interval.n, interval.level, reason)
