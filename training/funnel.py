"""The funnel: how far visitors come, ask by ask and step by step, and how sure that is.

Everything is counted from ``data.episodes``; no propensities are needed. Rates have Wilson intervals, quantiles
intervals between order statistics, differences of rates Newcombe's (``training.intervals``). Rates of conversion,
drop-off, velocity and depth use mature episodes only: an episode that may still convert is not a failure. Answers to
single asks are counted from every episode, apart from decisions that are still open. An acceptance counts for
velocity and depth when it came within ``conversion_window`` of the episode's first decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from data.clock import to_iso
from data.domain import SECOND, Catalog
from data.errors import BadInput
from features.state import arm_of
from training.intervals import LEVEL, Interval, difference, quantile, wilson

if TYPE_CHECKING:
    from rich.console import Console

    from data.episodes import Episodes

MAX_STEPS: Final = 20
"""Steps after this one are counted together."""
MAX_ACCEPTANCES: Final = 10
MAX_SEGMENTS: Final = 20
MAIN_ARM: Final = arm_of("champion")
NO_MATURE: Final = "no episode is old enough yet"
NOT_CAUSAL: Final = (
    "Not a causal comparison: whoever was asked for the goal first may differ from the others. Only visitors who were "
    "assigned to arms at random (a holdout `direct` beside the main arm) tell which way is better."
)
NOTES: Final = (
    "Intervals are 95 %. They treat shows and episodes as independent; visitors who return often make them a little "
    "too narrow.",
    "Conversion, drop-off, velocity and depth count mature episodes only: first decision at least one conversion "
    "window ago, whatever the outcome.",
    "Counts and the mean number of accepted asks have no interval.",
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What became of the asks that were shown; ``accept_rate`` leaves open ones (``pending``) out."""

    shown: int
    accepted: int
    declined: int
    ignored: int
    pending: int
    accept_rate: Interval


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the episode, from 1.

    ``nothing``: decisions to ask nothing. Of the mature episodes that ``reached`` the step, ``went_on`` had a further
    step, ``converted`` without one, and the rest dropped off.
    """

    step: int
    answers: Answers
    nothing: int
    reached: int
    went_on: int
    converted: int
    drop_off: Interval


@dataclass(frozen=True, slots=True)
class AskRow:
    """One ask of the catalog."""

    ask_id: str
    effort: float | None
    answers: Answers


@dataclass(frozen=True, slots=True)
class VelocityRow:
    """Seconds from an episode's first decision to its ``acceptance``-th accepted ask, where there was one."""

    acceptance: int
    n_episodes: int
    lower_quartile_s: Interval
    median_s: Interval
    upper_quartile_s: Interval


@dataclass(frozen=True, slots=True)
class ShareRow:
    """The share of mature episodes with this many accepted asks, or this highest accepted effort."""

    level: float
    n_episodes: int
    share: Interval


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Mature episodes of one arm or segment; ``answers`` also counts those of young episodes."""

    name: str
    n_mature: int
    n_young: int
    converted: int
    conversion: Interval
    answers: Answers


@dataclass(frozen=True, slots=True)
class Funnel:
    """Every number of the funnel; ``to_json`` for machines, ``render`` for people.

    ``direct`` are the episodes whose first ask was the goal, ``sequence`` those that began with another one;
    ``n_without_ask`` belong to neither: all their decisions were to ask nothing.
    """

    journey: str
    goal: str
    now: int
    n_visitors: int
    n_episodes: int
    n_mature: int
    n_young: int
    n_young_converted: int
    n_conversions: int
    n_conversions_outside: int
    n_without_ask: int
    n_not_learned_from: int
    conversion: Interval
    time_to_conversion_s: Interval
    steps: tuple[StepRow, ...]
    n_later_steps: int
    asks: tuple[AskRow, ...]
    velocity: tuple[VelocityRow, ...]
    mean_accepted: float | None
    accepted: tuple[ShareRow, ...]
    highest_effort: tuple[ShareRow, ...]
    direct: GroupRow
    sequence: GroupRow
    direct_minus_sequence: Interval
    arms: tuple[GroupRow, ...]
    segmented_by: str | None
    segments: tuple[GroupRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``: no NaN; what has no value is null with a ``reason``."""
        plain = {name: _plain(getattr(self, name)) for name in self.__slots__}
        plain["now"] = to_iso(self.now)
        plain["level"] = LEVEL
        plain["direct_minus_sequence"] |= {"is_causal": False, "note": NOT_CAUSAL}
        plain["notes"] = list(NOTES)
        return plain

    def render(self, console: Console) -> None:
        """Prints the funnel as text and tables."""
        from training.funnel_view import render

        render(self, console)


def funnel(episodes: Episodes, catalog: Catalog, *, by: str | None = None) -> Funnel:
    """Counts the funnel of a log.

    Args:
        episodes: the log's episodes (``data.episodes.episodes_of``).
        catalog: the journey's catalog.
        by: a context feature, an answer or ``channel``; each episode belongs to the segment of its first step.

    Raises:
        BadInput: the log has no column ``by``.
    """
    segment_of = None if by is None else _segments(episodes, by)
    steps, table = _annotated(episodes, catalog, segment_of)
    mature = table.filter("is_mature")
    converted_s = mature.filter("is_converted").select(
        (pl.col("converted_at") - pl.col("started_at")).dt.total_microseconds() / SECOND
    )
    direct, sequence = (_group(steps, table, pl.col("is_direct") == is_direct, name) for is_direct, name in _STARTS)
    young = table.filter(~pl.col("is_mature"))
    velocity, mean_accepted, accepted, highest = _commitment(steps, mature, catalog)
    return Funnel(
        journey=episodes.journey,
        goal=catalog.goal,
        now=episodes.now,
        n_visitors=table["owner"].n_unique(),
        n_episodes=table.height,
        n_mature=mature.height,
        n_young=young.height,
        n_young_converted=_count(young, pl.col("is_converted")),
        n_conversions=episodes.n_conversions,
        n_conversions_outside=episodes.n_conversions_outside,
        n_without_ask=_count(table, pl.col("is_direct").is_null()),
        n_not_learned_from=_count(table, ~pl.col("learn")),
        conversion=wilson(_count(mature, pl.col("is_converted")), mature.height, empty=NO_MATURE),
        time_to_conversion_s=quantile(converted_s.to_series().to_numpy(), empty="no mature episode converted"),
        steps=_step_rows(steps, mature),
        n_later_steps=_count(steps, pl.col("step") >= MAX_STEPS),
        asks=_ask_rows(steps, catalog),
        velocity=velocity,
        mean_accepted=mean_accepted,
        accepted=accepted,
        highest_effort=highest,
        direct=direct,
        sequence=sequence,
        direct_minus_sequence=_gap(direct, sequence),
        arms=_groups(steps, table, "arm"),
        segmented_by=by,
        segments=() if by is None else _groups(steps, table, "segment"),
    )


_STARTS: Final = ((True, "goal"), (False, "other ask"))


def _annotated(
    episodes: Episodes, catalog: Catalog, segment_of: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Steps and episodes with ``arm``, ``is_direct`` (null where nothing was asked) and ``segment``."""
    names = episodes.steps["policy"].unique()
    arms = {name: _arm(name) for name in names if name is not None}
    arm = pl.col("policy").replace_strict(arms, default="unknown", return_dtype=pl.String)
    first_ask = pl.col("ask_id").drop_nulls().first()
    has_one_arm = pl.col("arm").n_unique() == 1
    per_episode = (
        episodes.steps.with_columns(arm=arm)
        .group_by("episode_id", maintain_order=True)
        .agg(
            arm=pl.when(has_one_arm).then(pl.col("arm").first()).otherwise(pl.lit("several arms")),
            is_direct=first_ask == catalog.goal,
            first_order=pl.col("order").first(),
        )
    )
    table = episodes.episodes.join(per_episode, on="episode_id", how="left", maintain_order="left").with_columns(
        arm=pl.when("learn").then("arm").otherwise(pl.lit("not learned from"))
    )
    if segment_of is not None:
        table = table.join(segment_of, left_on="first_order", right_on="order", how="left", maintain_order="left")
    labels = [name for name in ("arm", "is_direct", "segment", "is_mature", "started_at") if name in table.columns]
    steps = episodes.steps.join(table.select("episode_id", *labels), on="episode_id", how="left", maintain_order="left")
    return steps, table


def _arm(policy: str) -> str:
    """The arm of a policy of ours; an outside system's policy is an arm of its own."""
    name = policy.partition(":")[0]
    return arm_of(policy) if name in ("champion", "challenger", "holdout", "baseline", "fallback") else policy


def _count(frame: pl.DataFrame, condition: pl.Expr) -> int:
    return int(frame.select(condition.fill_null(False).sum()).item())


def _answers(steps: pl.DataFrame, empty: str = "nothing was asked") -> Answers:
    asked = steps.filter(pl.col("ask_id").is_not_null())
    counts = dict(asked["answer"].value_counts().iter_rows())
    accepted, declined, ignored, pending = (
        int(counts.get(answer, 0)) for answer in ("accepted", "declined", "ignored", "pending")
    )
    if asked.height > 0:
        empty = "no answer yet"
    rate = wilson(accepted, asked.height - pending, empty=empty)
    return Answers(asked.height, accepted, declined, ignored, pending, rate)


def _step_rows(steps: pl.DataFrame, mature: pl.DataFrame) -> tuple[StepRow, ...]:
    by_step = steps.filter(pl.col("step") < MAX_STEPS).partition_by("step", as_dict=True, maintain_order=True)
    rows = []
    for (index,), ours in sorted(by_step.items()):
        reached = mature.filter(pl.col("n_steps") > index)
        went_on = _count(reached, pl.col("n_steps") > index + 1)
        converted = _count(reached, (pl.col("n_steps") == index + 1) & pl.col("is_converted"))
        rows.append(
            StepRow(
                step=index + 1,
                answers=_answers(ours),
                nothing=_count(ours, pl.col("ask_id").is_null()),
                reached=reached.height,
                went_on=went_on,
                converted=converted,
                drop_off=wilson(reached.height - went_on - converted, reached.height, empty=NO_MATURE),
            )
        )
    return tuple(rows)


def _ask_rows(steps: pl.DataFrame, catalog: Catalog) -> tuple[AskRow, ...]:
    by_ask = {key[0]: ours for key, ours in steps.partition_by("ask_id", as_dict=True).items()}
    efforts = {ask.id: ask.effort for ask in catalog.asks}
    strangers = sorted(ask_id for ask_id in by_ask if ask_id is not None and ask_id not in efforts)
    nobody = steps.clear()
    return tuple(
        AskRow(ask_id, efforts.get(ask_id), _answers(by_ask.get(ask_id, nobody), "never shown"))
        for ask_id in [*efforts, *strangers]
    )


def _commitment(
    steps: pl.DataFrame, mature: pl.DataFrame, catalog: Catalog
) -> tuple[tuple[VelocityRow, ...], float | None, tuple[ShareRow, ...], tuple[ShareRow, ...]]:
    """Velocity, mean number of accepted asks, and the distributions of that number and of the highest effort."""
    efforts = {ask.id: float(ask.effort) for ask in catalog.asks}
    after_s = (pl.col("answered_at") - pl.col("started_at")).dt.total_microseconds() / SECOND
    accepted = (
        steps.filter("is_mature", pl.col("answer") == "accepted", after_s < catalog.conversion_window_s)
        .select(
            "episode_id",
            after_s=after_s,
            effort=pl.col("ask_id").replace_strict(efforts, default=0.0, return_dtype=pl.Float64),
        )
        .sort("episode_id", "after_s")
        .with_columns(acceptance=pl.int_range(1, pl.len() + 1).over("episode_id"))
    )
    velocity = []
    for acceptance in range(1, MAX_ACCEPTANCES + 1):
        seconds = accepted.filter(pl.col("acceptance") == acceptance)["after_s"].to_numpy()
        if len(seconds) == 0:
            break
        quartiles = [quantile(seconds, q) for q in (0.25, 0.5, 0.75)]
        velocity.append(VelocityRow(acceptance, len(seconds), *quartiles))
    depth = mature.select("episode_id").join(
        accepted.group_by("episode_id").agg(n=pl.len(), effort=pl.col("effort").max()), on="episode_id", how="left"
    )
    mean = depth.select(pl.col("n").fill_null(0).mean()).item()
    return tuple(velocity), mean, _shares(depth["n"]), _shares(depth["effort"])


def _shares(levels: pl.Series) -> tuple[ShareRow, ...]:
    counts = sorted(levels.cast(pl.Float64).fill_null(0.0).value_counts().iter_rows())
    return tuple(ShareRow(level, n, wilson(n, len(levels))) for level, n in counts)


def _group(steps: pl.DataFrame, table: pl.DataFrame, ours: pl.Expr, name: str) -> GroupRow:
    episodes = table.filter(ours)
    mature = episodes.filter("is_mature")
    converted = _count(mature, pl.col("is_converted"))
    return GroupRow(
        name=name,
        n_mature=mature.height,
        n_young=episodes.height - mature.height,
        converted=converted,
        conversion=wilson(converted, mature.height, empty=NO_MATURE if episodes.height else "no such episode"),
        answers=_answers(steps.filter(ours)),
    )


def _groups(steps: pl.DataFrame, table: pl.DataFrame, column: str) -> tuple[GroupRow, ...]:
    names = sorted(table[column].unique().to_list())
    return tuple(_group(steps, table, pl.col(column) == name, name) for name in names)


def _gap(direct: GroupRow, sequence: GroupRow) -> Interval:
    n = direct.n_mature + sequence.n_mature
    for group, what in ((direct, "asked for the goal first"), (sequence, "began with another ask")):
        if group.n_mature == 0:
            return Interval(None, None, None, n, reason=f"no mature episode {what}")
    return difference((direct.converted, direct.n_mature), (sequence.converted, sequence.n_mature))


def _segments(episodes: Episodes, by: str) -> pl.DataFrame:
    """The segment of every row of the log: ``order segment``."""
    frame = episodes.arrivals.frame
    allowed = [name for name in frame.columns if name == "channel" or name.startswith(("context.", "answers."))]
    column = next((name for name in (by, f"context.{by}", f"answers.{by}") if name in allowed), None)
    if column is None:
        raise BadInput(f"cannot segment by {by!r}: no such column in the log; allowed: {', '.join(allowed)}")
    at_steps = frame.select("order", value=column).join(episodes.steps.select("order"), on="order", how="semi")
    cut = _bands if at_steps["value"].dtype.is_numeric() else _names
    return at_steps.select("order", segment=cut(at_steps["value"]))


def _names(values: pl.Series) -> pl.Series:
    """Values as names; the rarest are taken together when there are too many."""
    names = values.cast(pl.String).fill_null("unknown")
    counts = names.value_counts().sort(["count", names.name], descending=[True, False])
    if counts.height <= MAX_SEGMENTS:
        return names
    frequent = counts[names.name].head(MAX_SEGMENTS - 1)
    return pl.select(pl.when(names.is_in(frequent.implode())).then(names).otherwise(pl.lit("other"))).to_series()


def _bands(values: pl.Series) -> pl.Series:
    """Numbers by name when there are few, else in quarters of the same size."""
    numbers = values.cast(pl.Float64).fill_nan(None)
    text = pl.Series([None if number is None else f"{number:g}" for number in numbers], dtype=pl.String)
    if text.n_unique() <= MAX_SEGMENTS:
        return text.fill_null("unknown")
    edges = [numbers.quantile(q, "nearest") or 0.0 for q in (0.0, 0.25, 0.5, 0.75, 1.0)]
    names = [f"{n}. {low:g} to {high:g}" for n, (low, high) in enumerate(pairwise(edges), start=1)]
    inner = edges[1:-1]
    bands = [None if number is None else names[sum(number > edge for edge in inner)] for number in numbers]
    return pl.Series(bands, dtype=pl.String).fill_null("unknown")


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StepRow | AskRow | GroupRow):
        fields = {name: _plain(getattr(value, name)) for name in value.__slots__}
        return {**{name: item for name, item in fields.items() if name != "answers"}, **fields["answers"]}
    if isinstance(value, Answers | VelocityRow | ShareRow):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return value
