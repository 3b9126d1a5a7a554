"""Logs of a world played in lock-step: the rows that ``smallyes simulate`` writes, in seconds instead of minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.learning.play import (
    Decide,
    Pages,
    Partings,
    Play,
    Played,
    PolicyDecider,
    Steps,
    Visitors,
    bundle_decider,
)
from data.domain import SECOND
from data.log.schema import COLUMNS, TIME
from data.simulator.truth import MONDAY
from data.simulator.visitors import Population
from data.simulator.world import ANSWERS, World
from features.columns import FloatArray
from features.successors import ACCEPTED
from features.summary import IntArray
from policy.candidates import NOTHING, Candidates
from policy.crowd import BoolArray, Distinct
from policy.policies import Always, DayZero, Policy, Uniform

_LATEST_SIGNAL_S: Final = (60.0, 7_200.0)
_WEBHOOK_S: Final = (1.0, 600.0)
_LOG_STREAM: Final = 1
"""What only the log shows is drawn apart, so that whoever writes no log plays the same."""


def played_log(
    world: World, policy: Policy | Decide, n: int, seed: int, days: float | None = None, label: str | None = None
) -> pl.DataFrame:
    """The log of ``n`` visitors who meet a policy, in order of arrival at the site.

    Args:
        world: who visits, and the catalog.
        policy: a policy that needs no features, or any decider (``bundle_decider``).
        n: number of visitors.
        seed: the same seed, the same log.
        days: span of the first visits; by default as the world's ``visitors_per_day`` says.
        label: the policy's name in the log; by default that of the service's arm, ``champion:1`` for a model.
    """
    return log_and_truth(world, policy, n, seed, days, label)[0]


def log_and_truth(
    world: World, policy: Policy | Decide, n: int, seed: int, days: float | None = None, label: str | None = None
) -> tuple[pl.DataFrame, Played]:
    """The log as ``played_log`` writes it, and what really became of the visitors, by number."""
    decide = policy if callable(policy) else bundle_decider(policy)
    arrivals = np.array(Population(world, seed, 0).arrivals(n, MONDAY, days), dtype=np.int64)
    writer = LogWriter(world, decide, seed, _label(decide) if label is None else label)
    play = Play(world, decide, np.random.default_rng(seed), arrivals, writer)
    writer.expect(play.visitors)
    played = play.run()
    return writer.frame(), played


class LogWriter:
    """Turns what happens into rows of a log; a `benchmarks.learning.play.Watcher`."""

    def __init__(self, world: World, decide: Decide, seed: int, label: str) -> None:
        self._world, self._seen = world, world.observation
        self._rng = np.random.default_rng([seed, _LOG_STREAM])
        self._prefix, self._label = f"v{seed}-", label
        spec = decide.spec if isinstance(decide, PolicyDecider) else None
        self._fingerprint = None if spec is None else spec.fingerprint
        self._ids = pl.Series("ask_id", [*world.catalog.position, None], dtype=pl.String)
        self._signals = pl.Series("signal", list(self._seen.signals), dtype=pl.String)
        self._goal = world.catalog.position[world.catalog.goal]
        self._frames: list[pl.DataFrame] = []
        self._answers: Mapping[str, Distinct] = {}

    def expect(self, visitors: Visitors) -> None:
        """Takes note of what the visitors will tell when they are asked; before the play begins."""
        self._answers = visitors.answers

    def pages(self, pages: Pages) -> None:
        """Signals, sent together just before the request or up to two hours late."""
        rows, signals = np.nonzero(pages.seen)
        delays = np.where(pages.is_late, self._between(_LATEST_SIGNAL_S, len(pages.who)), 0)
        sent_at = (pages.sent_at + delays)[:, None] + np.cumsum(pages.seen, axis=1) - 1
        names = self._signals.gather(signals)
        self._add(
            pages.who[rows],
            "signal",
            (pages.at[rows, signals], sent_at[rows, signals]),
            signal=names,
            event_id=self._visitor(pages.who[rows]) + f"-{pages.visit}-{pages.step}." + names,
        )

    def steps(self, steps: Steps) -> None:
        """Decisions, the answers that the site is told of, and conversions that a shop system reports once more."""
        ids = self._visitor(steps.who) + f"-{steps.visit}-{steps.step}"
        self._decisions(steps, ids)
        is_yes = steps.answers == ACCEPTED
        is_bought = is_yes & (steps.asks == self._goal)
        value, order_id = self._orders(steps.who, is_bought)
        is_told = pl.Series(steps.is_told)
        about: dict[str, Any] = {
            "ask_id": self._ids.gather(_last_for_nothing(steps.asks, self._ids)),
            "decision_id": ids,
            "event_id": ids + ".answer",
            "value": value,
            "order_id": order_id,
        }
        for name, told in self._answers.items():
            collects = np.array([name in ask.collects for ask in self._world.catalog.asks] + [False])
            codes = np.where(is_yes & collects[steps.asks], told.codes[steps.who], len(told.values))
            about[f"answers.{name}"] = pl.Series([*told.values, None], dtype=pl.String).gather(codes)
        kinds = pl.Series(ANSWERS, dtype=pl.String).gather(steps.answers)
        chosen = {name: column.filter(is_told) for name, column in about.items()}
        at = steps.answered_at[steps.is_told]
        self._add(steps.who[steps.is_told], kinds.filter(is_told), (at, at), **chosen)
        self._webhooks(steps, (value, order_id))

    def partings(self, partings: Partings) -> None:
        """Departures that the site hears of, and late conversions."""
        n, timing = len(partings.who), self._world.timing
        is_heard = ~partings.is_back & (self._rng.random(n) < self._seen.reports_left)
        who, at = partings.who[is_heard], partings.at[is_heard] + SECOND
        self._add(who, "left", (at, at), event_id=self._visitor(who) + f"-{partings.visit}.left")
        who, left_at = partings.who[partings.is_late], partings.at[partings.is_late]
        at = left_at + self._between(timing.late_s, len(who))
        value, order_id = self._orders(who, np.ones(len(who), dtype=np.bool_))
        reported_at = at + self._between(timing.report_s, len(who))
        event_id = self._visitor(who) + ".late"
        self._add(who, "converted", (at, reported_at), event_id=event_id, value=value, order_id=order_id)

    def frame(self) -> pl.DataFrame:
        """All rows in order of arrival, in the columns and types of a log."""
        whole = pl.concat(self._frames, how="diagonal")
        features = sorted(set(whole.columns) - set(COLUMNS), key=lambda name: (not name.startswith("context."), name))
        absent = {name: pl.lit(None, dtype=dtype) for name, dtype in COLUMNS.items() if name not in whole.columns}
        core = (pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
        return whole.with_columns(**absent).select(*core, *features).sort("received_at", maintain_order=True)

    def _decisions(self, steps: Steps, ids: pl.Series) -> None:
        about: dict[str, Any] = {
            "ask_id": self._ids.gather(_last_for_nothing(steps.asks, self._ids)),
            "decision_id": ids,
            "propensity": pl.Series(steps.propensity),
            "eligible": _eligible(steps.candidates, self._ids),
        }
        for prefix, told in (("context.", steps.given.context), ("answers.", steps.given.answers)):
            about |= {prefix + name: pl.Series(values.tolist(), dtype=pl.String) for name, values in told.items()}
        about |= {
            "policy": pl.lit(self._label),
            "channel": pl.lit("web"),
            "withheld": pl.lit([], dtype=COLUMNS["withheld"]),
            "learn": pl.lit(True),
            "catalog": pl.lit(self._world.catalog.digest),
            "features": pl.lit(self._fingerprint, dtype=pl.String),
        }
        self._add(steps.who, "shown", (steps.at, steps.at), **about)

    def _webhooks(self, steps: Steps, order: tuple[pl.Series, pl.Series]) -> None:
        value, order_id = order
        n = len(steps.who)
        again = order_id.is_not_null().to_numpy() & (self._rng.random(n) < self._seen.webhooks)
        who, at = steps.who[again], steps.answered_at[again]
        self._add(
            who,
            "converted",
            (at, at + self._between(_WEBHOOK_S, len(who))),
            event_id=self._visitor(who) + ".webhook",
            value=value.filter(pl.Series(again)),
            order_id=order_id.filter(pl.Series(again)),
        )

    def _orders(self, who: IntArray, is_bought: BoolArray) -> tuple[pl.Series, pl.Series]:
        """Values and order ids of purchases, null where nothing was bought or the order has no id."""
        u, v = self._rng.random((2, len(who)))
        values: FloatArray = np.round(self._world.timing.order_value * (0.5 + u), 2)
        value = _where(pl.Series(values), is_bought)
        return value, _where("order-" + self._visitor(who), is_bought & (v < self._seen.orders))

    def _add(self, who: IntArray, kind: str | pl.Series, times: tuple[IntArray, IntArray], **about: Any) -> None:
        columns: dict[str, Any] = {
            "visitor_id": self._visitor(who),
            "at": pl.Series(times[0], dtype=pl.Int64),
            "received_at": pl.Series(times[1], dtype=pl.Int64),
            "type": kind if isinstance(kind, pl.Series) else pl.lit(kind),
            "journey": pl.lit(self._world.catalog.journey),
            **about,
        }
        if len(who) == 0:
            return
        whole = {name: column for name, column in columns.items() if isinstance(column, pl.Series)}
        constant = {name: column for name, column in columns.items() if not isinstance(column, pl.Series)}
        frame = pl.DataFrame(whole).with_columns(**constant)
        self._frames.append(frame.with_columns(_as_time("at"), _as_time("received_at")))

    def _visitor(self, who: IntArray) -> pl.Series:
        return self._prefix + pl.Series(who, dtype=pl.Int64).cast(pl.String).str.zfill(7)

    def _between(self, ends: tuple[float, float], n: int) -> IntArray:
        return ((ends[0] + (ends[1] - ends[0]) * self._rng.random(n)) * SECOND).astype(np.int64)


def _label(decide: Decide) -> str:
    policy = decide.policy if isinstance(decide, PolicyDecider) else None
    if isinstance(policy, Always):
        return f"holdout:{policy.what}"
    if isinstance(policy, Uniform):
        return "holdout:random"
    return "baseline" if isinstance(policy, DayZero) else "champion:1"


def _eligible(candidates: Candidates, ids: pl.Series) -> pl.Series:
    """The names of each group's candidates; the null candidate is the last one."""
    names = ids.gather(_last_for_nothing(candidates.asks, ids)).alias("eligible")
    grouped = pl.DataFrame({"group": candidates.groups, "eligible": names}).group_by("group", maintain_order=True)
    return grouped.agg("eligible")["eligible"]


def _last_for_nothing(asks: IntArray, ids: pl.Series) -> IntArray:
    """Places of asks among the ids, of which the last one is that of asking nothing."""
    return np.where(asks == NOTHING, len(ids) - 1, asks)


def _where(values: pl.Series, is_given: BoolArray) -> pl.Series:
    return pl.select(pl.when(pl.Series(is_given)).then(values)).to_series()


def _as_time(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME)
