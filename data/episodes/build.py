"""From arrivals to episodes; the rules are in the package's docstring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from data.domain import SECOND, Catalog, Decision, Episode, Step
from data.episodes.conversions import conversions_of
from data.episodes.families import Families
from data.episodes.runs import ACCEPTANCE, CONVERSION, LEFT, OUTSIDE, STEP, Timeline, runs_of
from data.episodes.steps import TIME, answered_steps, answers_of, decisions_of
from data.rewards import episode_rewards, paid_once

if TYPE_CHECKING:
    from data.arrivals import Arrivals

_ANSWERS: Final[Mapping[str, Literal["accepted", "declined", "ignored"]]] = {
    "accepted": "accepted",
    "declined": "declined",
}
STEP_COLUMNS: Final = (
    "episode_id",
    "step",
    "owner",
    "visitor_id",
    "ask_id",
    "at",
    "seen_at",
    "propensity",
    "eligible",
    "policy",
    "channel",
    "answer",
    "answered_at",
    "value",
    "learn",
    "order",
    "decision_id",
)
EPISODE_COLUMNS: Final = (
    "episode_id",
    "owner",
    "visitor_id",
    "started_at",
    "ended_at",
    "n_steps",
    "is_converted",
    "converted_at",
    "reward",
    "is_mature",
    "has_left",
    "ended_by",
    "settled_at",
    "learn",
)


@dataclass(frozen=True, eq=False)
class Episodes:
    """The episodes of one journey's log.

    Attributes:
        steps: one row a step, sorted by episode and ``step`` (0, 1, ...); ``order`` is the row's place in
            ``arrivals.frame``, where its context is; ``answer`` is accepted, declined, ignored or pending.
        episodes: one row an episode, in the order in which they started. ``ended_by`` is converted, left, window or
            open; ``reward`` is what it earned so far and final once ``is_mature``; ``settled_at`` is when the log
            knew its outcome (the first report of the conversion; with ``settles: left`` the report of leaving; else
            the end of the window), null while unknown; ``learn`` is false when one of its decisions must not be
            learned from.
        arrivals: what the episodes were made of.
        journey: name of the journey.
        now: the moment as of which they are described, in microseconds.
        n_conversions: distinct conversions in the log.
        n_conversions_outside: those that belong to no episode.
        n_forced_nulls: null decisions that guardrails forced, which are no steps.
        n_after_now: rows that were received after ``now`` and left out.
    """

    steps: pl.DataFrame
    episodes: pl.DataFrame
    arrivals: Arrivals = field(repr=False)
    journey: str
    now: int
    n_conversions: int
    n_conversions_outside: int
    n_forced_nulls: int
    n_after_now: int

    def as_objects(self) -> Iterator[Episode]:
        """The episodes as domain objects, for small logs; a pending answer appears as ``ignored``."""
        wanted = set(self.steps["order"])
        decisions = {
            order: item
            for order, (_, item) in zip(self.arrivals.frame["order"], self.arrivals.items(), strict=True)
            if order in wanted and isinstance(item, Decision)
        }
        steps: dict[int, list[Step]] = {}
        answered = self.steps.with_columns(pl.col("answered_at").cast(pl.Int64))
        for episode_id, order, answer, answered_at, value in answered.select(
            "episode_id", "order", "answer", "answered_at", "value"
        ).iter_rows():
            step = Step(decisions[order], _ANSWERS.get(answer, "ignored"), answered_at, value)
            steps.setdefault(episode_id, []).append(step)
        for row in self.episodes.with_columns(pl.col("converted_at").cast(pl.Int64)).iter_rows(named=True):
            yield Episode(
                visitor_id=row["visitor_id"],
                journey=self.journey,
                steps=tuple(steps[row["episode_id"]]),
                is_converted=row["is_converted"],
                converted_at=row["converted_at"],
                reward=row["reward"],
                is_mature=row["is_mature"],
                has_left=row["has_left"],
            )


@dataclass(frozen=True)
class _Placed:
    """Everything that has a place in an episode or outside of all, by kind."""

    steps: pl.DataFrame
    conversions: pl.DataFrame
    lefts: pl.DataFrame
    acceptances: pl.DataFrame


def episodes_of(arrivals: Arrivals, catalog: Catalog, *, now: int) -> Episodes:
    """The episodes of a log.

    Args:
        arrivals: the log of one journey, arranged (``data.arrivals.arrange``).
        catalog: the journey's catalog.
        now: the moment as of which episodes are described, in microseconds.
    """
    frame = arrivals.frame.filter(pl.col("received_at").cast(pl.Int64) <= now).sort("order")
    families = Families(arrivals.merges if frame.height == arrivals.frame.height else _until(arrivals, frame))
    decisions = decisions_of(frame)
    answers = answers_of(frame)
    steps = answered_steps(decisions, answers, catalog, now)
    reports = _reports(frame, answers, catalog.goal)
    placed = _place(
        _Placed(
            steps=steps.with_columns(time=pl.col("seen_at").cast(pl.Int64)),
            conversions=conversions_of(reports, families),
            lefts=_of_type(frame, "left"),
            acceptances=_of_type(frame, "accepted").filter(pl.col("decision_id").is_null(), _is_not(catalog.goal)),
        ),
        families,
        catalog,
    )
    persons = {owner: families.person(owner) for owner in families.merged}
    person = pl.col("owner").replace(persons)
    table = _describe(placed, catalog, now).join(
        _rewards(placed, reports, catalog, families), on="episode_id", how="left", maintain_order="left"
    )
    return Episodes(
        steps=placed.steps.with_columns(person).select(STEP_COLUMNS),
        episodes=table.with_columns(person, pl.col("reward").fill_null(0.0)).select(EPISODE_COLUMNS),
        arrivals=arrivals,
        journey=catalog.journey,
        now=now,
        n_conversions=placed.conversions.height,
        n_conversions_outside=placed.conversions.filter(pl.col("episode_id") == OUTSIDE).height,
        n_forced_nulls=decisions.height - steps.height,
        n_after_now=arrivals.frame.height - frame.height,
    )


def _until(arrivals: Arrivals, frame: pl.DataFrame) -> list[tuple[int, int, int]]:
    known = set(frame.filter(pl.col("type") == "merged")["order"])
    return [merge for merge in arrivals.merges if merge[0] in known]


def _is_not(ask_id: str) -> pl.Expr:
    return pl.col("ask_id") != ask_id


def _of_type(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.filter(pl.col("type") == name).with_columns(time=pl.col("at").cast(pl.Int64))


def _reports(frame: pl.DataFrame, answers: pl.DataFrame, goal: str) -> pl.DataFrame:
    """The rows that report a conversion, in arrival order, each with the ``time`` at which it happened."""
    is_goal = (pl.col("type") == "accepted") & (pl.col("ask_id") == goal)
    taken_at = answers.select("answer_order", taken_at="time")
    return (
        frame.with_columns(is_goal=is_goal)
        .filter(pl.col("is_goal") | (pl.col("type") == "converted"))
        .join(taken_at, left_on="order", right_on="answer_order", how="left", maintain_order="left")
        .with_columns(time=pl.coalesce("taken_at", "at").cast(pl.Int64))
        .select("order", "owner", "order_id", "is_goal", "is_repeat", "time", "received_at", "value")
    )


def _place(found: _Placed, families: Families, catalog: Catalog) -> _Placed:
    """Adds ``episode_id`` to everything, and ``step`` to the steps."""
    parts = {STEP: found.steps, CONVERSION: found.conversions, LEFT: found.lefts, ACCEPTANCE: found.acceptances}
    timeline = pl.concat(
        [
            part.select(kind=pl.lit(kind, pl.Int64), time=pl.col("time"), order="order", owner="owner")
            for kind, part in parts.items()
        ]
    ).sort("time", "order")
    columns = Timeline(*(timeline[name].to_list() for name in Timeline._fields))
    episode_ids = runs_of(columns, families, catalog.conversion_window_s * SECOND)
    timeline = timeline.with_columns(pl.Series("episode_id", episode_ids, dtype=pl.Int64))

    def placed(kind: int) -> pl.DataFrame:
        ours = timeline.filter(pl.col("kind") == kind).select("order", "episode_id")
        return ours.join(parts[kind], on="order", how="left", maintain_order="left")

    steps = placed(STEP).sort("episode_id", "time", "order")
    return _Placed(
        steps=steps.with_columns(step=pl.int_range(pl.len()).over("episode_id")),
        conversions=placed(CONVERSION),
        lefts=placed(LEFT).filter(pl.col("episode_id") != OUTSIDE),
        acceptances=placed(ACCEPTANCE).filter(pl.col("episode_id") != OUTSIDE),
    )


def _describe(placed: _Placed, catalog: Catalog, now: int) -> pl.DataFrame:
    """One row an episode: everything but the reward."""
    window = catalog.conversion_window_s * SECOND
    converted = placed.conversions.select("episode_id", converted_at="time", reported_at="received_at")
    left = placed.lefts.group_by("episode_id").agg(left_at=pl.col("time").min(), told_at=pl.col("received_at").min())
    end = pl.col("started_at") + window
    is_old = end <= now
    has_settled = pl.col("is_converted") | pl.col("has_left") if catalog.settles == "left" else pl.lit(True)
    told_at = pl.col("told_at") if catalog.settles == "left" else pl.when(is_old).then(end.cast(TIME))
    return (
        placed.steps.group_by("episode_id", maintain_order=True)
        .agg(
            pl.col("owner", "visitor_id").first(),
            pl.col("learn").fill_null(True).all(),
            started_at=pl.col("time").first(),
            n_steps=pl.len().cast(pl.Int64),
        )
        .join(converted, on="episode_id", how="left", maintain_order="left")
        .join(left, on="episode_id", how="left", maintain_order="left")
        .with_columns(is_converted=pl.col("converted_at").is_not_null(), has_left=pl.col("left_at").is_not_null())
        .with_columns(
            ended_by=pl.when("is_converted")
            .then(pl.lit("converted"))
            .when("has_left")
            .then(pl.lit("left"))
            .when(is_old)
            .then(pl.lit("window"))
            .otherwise(pl.lit("open")),
            ended_at=pl.coalesce("converted_at", "left_at", pl.when(is_old).then(end)),
            is_mature=is_old & has_settled,
            settled_at=pl.coalesce("reported_at", told_at),
        )
        .with_columns(pl.col("started_at", "ended_at", "converted_at").cast(TIME))
    )


def _rewards(placed: _Placed, reports: pl.DataFrame, catalog: Catalog, families: Families) -> pl.DataFrame:
    window = catalog.conversion_window_s * SECOND
    started_at = pl.col("time").first().over("episode_id")
    prompted = placed.steps.filter(
        pl.col("answer") == "accepted",
        _is_not(catalog.goal),
        pl.col("answered_at").cast(pl.Int64) < started_at + window,
    )
    columns = ("episode_id", "owner", "ask_id", "order_id", "value", "order")
    acceptances = pl.concat(
        [
            prompted.with_columns(order="answer_order").select(columns),
            placed.acceptances.select(columns),
        ]
    ).sort("order")
    person = pl.col("owner").replace({owner: families.person(owner) for owner in families.merged})
    orders = reports.filter(pl.col("order_id").is_not_null()).select(person, "order_id")
    conversions = placed.conversions.filter(pl.col("episode_id") != OUTSIDE)
    return episode_rewards(catalog, conversions, paid_once(acceptances.with_columns(person), orders))
