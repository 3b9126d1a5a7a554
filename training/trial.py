"""Trials: a sticky share of live visitors is served by the challenger, and what they really did is compared.

**Who counts.** Every visitor (owner) once, by the first episode that starts at or after the trial's start, in the arm
of that episode's *first step*, whatever served the later ones (intention to treat). The first step is decided before
anything of the outcome exists, so nobody is chosen by outcome or by length of the episode; leaving out episodes with
a fallback or a change of arms further on would do just that, since long episodes meet more of both. They stay in and
are counted as ``n_mixed``. Left out, for what their first step was, and counted by reason: fallback, not to be learned
from, holdout, another version.

**When.** Visitors are taken in the order in which they started, up to the first whose episode is not mature, in both
arms alike: so converted ones never enter earlier than the others. With ``settles: left`` a report that never comes
would hold up everybody behind it, so an unsettled episode whose window has closed counts as not converted once it is
older than ``patience_s``.

**Verdict.** By the confidence sequences of ``training.sequences``; look as often as you like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from data.domain import SECOND
from training.intervals import Interval
from training.sequences import mean_difference, rate, rate_difference
from training.trial_size import MOST_VISITORS, TrialSize, visitors_needed

if TYPE_CHECKING:
    import polars as pl

    from data.episodes import Episodes

Answer = Literal["better", "worse", "not enough evidence"]
Reward = Literal["conversion", "value"]

TRIAL_ALPHA: Final = 0.05
"""Probability that a trial's interval ever misses the truth; a wrong "better" is at most that."""

PATIENCE_S: Final = 30 * 86_400

_DAY: Final = 86_400 * SECOND
_KINDS: Final = ("fallback", "not to be learned from", "holdout", "another version")


@dataclass(frozen=True, eq=False)
class Arm:
    """What the visitors of one arm did, one entry a visitor, in the order in which they started.

    Attributes:
        label: the name that the arm has in logs, such as ``challenger:8``.
        is_converted: shape (n,).
        rewards: shape (n,), for ``reward: value``.
    """

    label: str
    is_converted: npt.NDArray[np.bool_]
    rewards: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.is_converted) != len(self.rewards):
            raise ValueError(
                f"{self.label}: one reward per visitor is needed, "
                f"got {len(self.rewards)} for {len(self.is_converted)} visitors"
            )

    @property
    def n(self) -> int:
        """Visitors."""
        return len(self.is_converted)

    @property
    def n_converted(self) -> int:
        """Visitors who converted."""
        return int(np.count_nonzero(self.is_converted))


@dataclass(frozen=True, eq=False)
class TrialArms:
    """Both arms of a trial and everybody who is in neither.

    Attributes:
        control: the main arm.
        challenger: the arm on trial.
        left_out: visitors by reason, as of their first step.
        n_waiting: visitors of both arms who are too young to count, or stand behind one who is.
        n_mixed: counted visitors whose episode changed arms, fell back or was not to be learned from later on.
        visitors_per_day: of both arms, since the first of them; ``None`` before a day has passed.
    """

    control: Arm
    challenger: Arm
    left_out: Mapping[str, int]
    n_waiting: int
    n_mixed: int
    visitors_per_day: float | None


@dataclass(frozen=True)
class Horizon:
    """When a trial without a winner is given up.

    Attributes:
        interesting: the smallest relative effect worth finding.
        power: probability with which a trial that ran to its end would have found it.
        most_visitors: an end that was set by hand, in visitors of both arms.
        visitors_per_day: of both arms, to turn visitors into days.
    """

    interesting: float = 0.2
    power: float = 0.8
    most_visitors: int | None = None
    visitors_per_day: float | None = None

    def __post_init__(self) -> None:
        if not self.interesting > 0 or not math.isfinite(self.interesting):
            raise ValueError(f"interesting must be above 0, got {self.interesting}")
        if not 0.5 <= self.power < 1:
            raise ValueError(f"power must be from 0.5 to below 1, got {self.power}")


@dataclass(frozen=True)
class TrialVerdict:
    """What a trial says now.

    Attributes:
        answer: better, worse, or not enough evidence.
        is_over: whether the trial should end: better, worse, or no difference found.
        text: the verdict in plain words.
        difference: challenger - control, valid at any look.
        control: the control's conversion rate, valid at any look; under ``reward: value`` its mean, without bounds.
        challenger: the same of the challenger.
        n_by_arm: visitors, control and challenger.
        most_visitors: visitors after which it ends without a winner; ``None`` while that cannot be said.
        more: further visitors it would take at the present difference; ``None`` while that cannot be said.
        more_days: the same in days.
    """

    answer: Answer
    is_over: bool
    text: str
    difference: Interval
    control: Interval
    challenger: Interval
    n_by_arm: tuple[int, int]
    most_visitors: int | None
    more: int | None
    more_days: int | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "answer": self.answer,
            "is_over": self.is_over,
            "text": self.text,
            "difference": self.difference.to_json(),
            "control": self.control.to_json(),
            "challenger": self.challenger.to_json(),
            "n_by_arm": {"control": self.n_by_arm[0], "challenger": self.n_by_arm[1]},
            "level": self.difference.level,
            "most_visitors": self.most_visitors,
            "more_visitors": self.more,
            "more_days": self.more_days,
        }


@dataclass(frozen=True)
class _Standing:
    """A trial at one look, before the verdict."""

    arms: tuple[Arm, Arm]
    difference: Interval
    share: float
    alpha: float
    reward: Reward
    horizon: Horizon

    @property
    def n(self) -> int:
        return self.arms[0].n + self.arms[1].n


def trial_arms(
    episodes: Episodes,
    champion_version: str | None,
    challenger_version: str,
    started_at: int,
    *,
    patience_s: float = PATIENCE_S,
) -> TrialArms:
    """The arms of a trial from the log; the rules are in the module's docstring.

    Args:
        episodes: the journey's episodes.
        champion_version: what the main arm serves; ``None``: no champion, the main arm is day zero's ``baseline``.
        challenger_version: what is on trial.
        started_at: when the trial began, in microseconds; earlier episodes, also running ones, do not count.
        patience_s: how long after its start an episode may wait for a report of its outcome, in seconds.

    Raises:
        ValueError: both versions are the same.
    """
    import polars as pl

    if champion_version == challenger_version:
        raise ValueError(f"a version cannot be tried against itself, got {challenger_version}")
    main = "baseline" if champion_version is None else f"champion:{champion_version}"
    labels = (main, f"challenger:{challenger_version}")
    firsts = _first_episodes(episodes, labels, started_at)
    left_out = {kind: firsts.filter(pl.col("arm") == kind).height for kind in _KINDS}
    entered = firsts.filter(pl.col("arm").is_in(labels)).sort("started_at", "episode_id")
    has_given_up = (pl.col("ended_by") == "window") & (episodes.now - pl.col("start") >= round(patience_s * SECOND))
    is_ready = pl.col("is_mature") | has_given_up
    counted = entered.filter(is_ready.cast(pl.Int64).cum_min() == 1)
    control, challenger = (_arm(counted, label) for label in labels)
    return TrialArms(
        control=control,
        challenger=challenger,
        left_out={kind: n for kind, n in left_out.items() if n},
        n_waiting=entered.height - counted.height,
        n_mixed=counted.filter("is_mixed").height,
        visitors_per_day=_per_day(entered, episodes.now),
    )


def _first_episodes(episodes: Episodes, labels: tuple[str, str], started_at: int) -> pl.DataFrame:
    """Each owner's first episode under the trial, with ``arm`` (a label or a reason to leave out) and ``is_mixed``."""
    import polars as pl

    policy = pl.col("policy").fill_null("unknown")
    learn = pl.col("learn").fill_null(True)
    steps = (
        episodes.steps.sort("episode_id", "step")
        .group_by("episode_id")
        .agg(
            policy=policy.first(),
            first_learn=learn.first(),
            is_mixed=(policy != policy.first()).any() | ~learn.all(),
        )
    )
    arm = (
        pl.when(pl.col("policy") == "fallback")
        .then(pl.lit(_KINDS[0]))
        .when(~pl.col("first_learn"))
        .then(pl.lit(_KINDS[1]))
        .when(pl.col("policy").str.starts_with("holdout:"))
        .then(pl.lit(_KINDS[2]))
        .when(pl.col("policy").is_in(labels))
        .then("policy")
        .otherwise(pl.lit(_KINDS[3]))
    )
    return (
        episodes.episodes.with_columns(start=pl.col("started_at").cast(pl.Int64))
        .filter(pl.col("start") >= started_at)
        .sort("started_at", "episode_id")
        .unique("owner", keep="first", maintain_order=True)
        .join(steps, on="episode_id", how="left", maintain_order="left")
        .with_columns(arm=arm)
    )


def _arm(counted: pl.DataFrame, label: str) -> Arm:
    ours = counted.filter(counted["arm"] == label)
    return Arm(label, ours["is_converted"].to_numpy().astype(np.bool_), ours["reward"].to_numpy().astype(np.float64))


def _per_day(entered: pl.DataFrame, now: int) -> float | None:
    if entered.height == 0:
        return None
    elapsed = now - int(entered["start"].min())  # type: ignore[arg-type]  # a height above 0 has a minimum
    return entered.height * _DAY / elapsed if elapsed >= _DAY else None


def judge_trial(
    control: Arm,
    challenger: Arm,
    *,
    share: float,
    alpha: float = TRIAL_ALPHA,
    reward: Reward = "conversion",
    horizon: Horizon | None = None,
) -> TrialVerdict:
    """What the trial says at this look; it may be looked at any number of times.

    ``better`` when the lower bound is above 0, ``worse`` when the upper bound is below 0. Otherwise the answer is
    "not enough evidence", and the trial is over nevertheless when the upper bound is below ``horizon.interesting``
    times the control's rate, or such an effect would have shown by now with probability ``horizon.power``. That never
    promotes anybody, so it spends no error.

    Args:
        control: the main arm.
        challenger: the arm on trial.
        share: planned share of the challenger among the visitors of both arms (trial share / (1 - holdouts)).
        alpha: probability that the interval ever misses.
        reward: what is compared.
        horizon: when it is given up.

    Raises:
        ValueError: share or alpha is not between 0 and 1, or a reward is not finite.

    Example:
        >>> import numpy as np
        >>> def arm(label, converted, n):
        ...     done = np.arange(n) < converted
        ...     return Arm(label, done, done.astype(float))
        >>> verdict = judge_trial(arm("champion:7", 48, 1600), arm("challenger:8", 112, 1520), share=0.5)
        >>> verdict.answer, verdict.is_over
        ('better', True)
        >>> print(verdict.text)
        Better: after 3,120 visitors (1,600 control, 1,520 challenger) the challenger converts 7.4 % against 3.0 %: 4.4 points more (1.6 to 7.1, 95 % interval, valid at any look).
    """  # noqa: E501  # the text is one line
    if reward == "conversion":
        counts = [(arm.n_converted, arm.n) for arm in (control, challenger)]
        difference = rate_difference(*counts, share=share, alpha=alpha)
    else:
        difference = mean_difference(control.rewards, challenger.rewards, alpha=alpha)
    standing = _Standing((control, challenger), difference, share, alpha, reward, horizon or Horizon())
    most = _most_visitors(standing)
    answer, is_over = _decide(standing, most)
    more = None if is_over else _more(standing)
    days = None if more is None else TrialSize(more, 0).days(standing.horizon.visitors_per_day)
    return TrialVerdict(
        answer=answer,
        is_over=is_over,
        text=_text(standing, answer, is_over, _outlook(more, days, most)),
        difference=difference,
        control=_own(control, standing),
        challenger=_own(challenger, standing),
        n_by_arm=(control.n, challenger.n),
        most_visitors=most,
        more=more,
        more_days=days,
    )


def _own(arm: Arm, standing: _Standing) -> Interval:
    """An arm's own rate, valid at any look, or its mean value."""
    if standing.reward == "conversion":
        return rate(arm.n_converted, arm.n, alpha=standing.alpha)
    level = standing.difference.level
    if arm.n == 0:
        return Interval(None, None, None, 0, level, "there is no visitor yet")
    return Interval(float(arm.rewards.mean()), None, None, arm.n, level, "only the difference has bounds")


def _decide(standing: _Standing, most: int | None) -> tuple[Answer, bool]:
    low, high = standing.difference.low, standing.difference.high
    if low is not None and low > 0:
        return "better", True
    if high is not None and high < 0:
        return "worse", True
    base = _control_mean(standing)
    is_too_small = high is not None and base is not None and base > 0 and high < standing.horizon.interesting * base
    return "not enough evidence", is_too_small or (most is not None and standing.n >= most)


def _control_mean(standing: _Standing) -> float | None:
    control = standing.arms[0]
    if control.n == 0:
        return None
    outcomes = control.is_converted if standing.reward == "conversion" else control.rewards
    return float(outcomes.mean())


def _most_visitors(standing: _Standing) -> int | None:
    """Visitors of both arms by which an interesting effect would have shown."""
    horizon = standing.horizon
    if horizon.most_visitors is not None:
        return horizon.most_visitors
    base = _control_mean(standing)
    if base is None or not base > 0:
        return None
    if standing.reward == "value":
        return _most_by_width(standing, horizon.interesting * base)
    if base * (1 + horizon.interesting) >= 1:
        return None
    size = visitors_needed(base, horizon.interesting, standing.share, horizon.power, standing.alpha)
    return None if size is None else size.total


def _most_by_width(standing: _Standing, effect: float) -> int | None:
    """Visitors at which the interval of a value is so narrow that this effect clears 0 with the wanted power.

    The boundary is at least 3 standard errors away, which gives the part that power takes.
    """
    gap, high = standing.difference.value, standing.difference.high
    if gap is None or high is None:
        return None
    needed = (high - gap) * (1 + NormalDist().inv_cdf(standing.horizon.power) / 3)
    visitors = standing.n * (needed / effect) ** 2
    return math.ceil(visitors) if visitors <= MOST_VISITORS else None


def _more(standing: _Standing) -> int | None:
    """Further visitors until a decision, were the present difference the true one."""
    gap, base = standing.difference.value, _control_mean(standing)
    if gap is None or base is None or gap == 0:
        return None
    if standing.reward == "conversion":
        if not 0 < base < 1:
            return None
        # a challenger that converts everybody would otherwise end above 1 by rounding
        effect = min(gap / base, 1 / base - 1)
        size = visitors_needed(base, effect, standing.share, standing.horizon.power, standing.alpha)
        return None if size is None else max(1, size.total - standing.n)
    high = standing.difference.high
    if high is None:
        return None
    # the boundary shrinks a little slower than the root of the visitors: a fifth more of them makes up for it
    visitors = standing.n * 1.2 * ((high - gap) / gap) ** 2
    return max(1, math.ceil(visitors - standing.n)) if visitors <= MOST_VISITORS else None


def _text(standing: _Standing, answer: Answer, is_over: bool, outlook: str) -> str:
    control, challenger = standing.arms
    seen = f"after {standing.n:,} visitors ({control.n:,} control, {challenger.n:,} challenger)"
    gap = standing.difference
    if gap.value is None:
        return f"Not enough evidence: {seen} nothing can be compared, {gap.reason}."
    measured = f"{seen} {_compared(standing, gap.value)}"
    if answer != "not enough evidence":
        return f"{answer.capitalize()}: {measured}."
    if is_over:
        return f"No difference found: {measured}. {_why_over(standing)}"
    return f"Not enough evidence: {measured}.{outlook}"


def _why_over(standing: _Standing) -> str:
    horizon = standing.horizon
    if horizon.most_visitors is not None and standing.n >= horizon.most_visitors:
        return f"The trial ends at {horizon.most_visitors:,} visitors, as it was set up."
    return f"An effect of {100 * horizon.interesting:.3g} % (relative) would most likely have shown by now."


def _compared(standing: _Standing, gap: float) -> str:
    """The difference in words: points of conversion, or units of value."""
    is_rate = standing.reward == "conversion"
    scale, digits = (100.0, 1) if is_rate else (1.0, 3)
    bounds = [bound for bound in (standing.difference.low, standing.difference.high) if bound is not None]
    if is_rate and bounds and 100 * min(abs(gap), *(abs(bound) for bound in bounds)) < 0.1:
        digits = 2
    # the words say "less" for a negative difference, so its bounds are told the other way round
    direction = -1.0 if gap < 0 else 1.0
    ordered = sorted(direction * bound * scale for bound in bounds)
    means = [float((arm.is_converted if is_rate else arm.rewards).mean()) * scale for arm in standing.arms]
    unit = (" %", " points") if is_rate else ("", "")
    word = "less" if gap < 0 else "more"
    level = 100 * standing.difference.level
    around = (
        f"{ordered[0]:.{digits}f} to {ordered[1]:.{digits}f}, {level:.3g} % interval, valid at any look"
        if ordered
        else f"no interval yet, {standing.difference.reason}"
    )
    verb = "converts" if is_rate else "is worth"
    caveat = "" if is_rate or not ordered else f"; {standing.difference.reason}"
    return (
        f"the challenger {verb} {means[1]:.{digits}f}{unit[0]} against {means[0]:.{digits}f}{unit[0]}: "
        f"{abs(gap) * scale:.{digits}f}{unit[1]} {word} ({around}{caveat})"
    )


def _outlook(more: int | None, days: int | None, most: int | None) -> str:
    parts = []
    if more is not None:
        time = "" if days is None else f" (about {days:,} {'day' if days == 1 else 'days'})"
        parts.append(f" At the present difference it takes about {more:,} more visitors{time}.")
    if most is not None:
        parts.append(f" It ends without a winner after {most:,}.")
    return "".join(parts)
