"""A world played by thousands of visitors in lock-step: the truth about a policy in seconds instead of minutes.

The same probabilities as `data.simulator`, the same guardrails and features as the service, drawn for all visitors at
once: everybody makes a first step, then all who stay make a second one, and so on. What `data.simulator.drive` plays
visitor by visitor is different here in one thing alone: a page's signals that arrive late (``late_signals``) are never
known to a later decision, where they would be after up to two hours. A test holds the result against the exact truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from data.domain import SECOND, Catalog
from data.simulator.tables import tables_of
from data.simulator.truth import MONDAY
from data.simulator.world import ANSWERS, N_FATIGUE, N_TRUST, World
from features.columns import MISSING, FloatArray, Given
from features.inputs import CHANNEL_CODES, encoder_of
from features.matrix import FeatureColumns
from features.spec import FeatureSpec, Input
from features.successors import ACCEPTED, DECLINED, SILENT, Aftermath, successors
from features.summary import ASK_MEMORY, NO_ASK, SCALARS, SIGNAL_MEMORY, IntArray, Summary
from policy.candidates import NOTHING, Candidates
from policy.crowd import BoolArray, Crowd, Distinct
from policy.guardrails.registry import GUARDRAILS, Guards, compile_guards, eligible_mask
from policy.policies import Always, Policy
from training.learners.joining import joined_summaries
from training.table import candidates_of

Decide = Callable[[Candidates, Crowd], FloatArray]
"""From candidates, without features, and what is known of the visitors to probabilities, one a candidate."""

_SIGNAL_LEAD: Final = SECOND // 2
_NOTHING: Final = ANSWERS.index("nothing")
"""The other answers have the numbers of ``ACCEPTED``, ``DECLINED`` and ``SILENT``."""
_DAY_S: Final = 86_400


@dataclass(frozen=True, eq=False)
class Played:
    """What became of n visitors.

    Attributes:
        types: shape (n,); index of the visitor's type in the world.
        is_converted: shape (n,); late conversions included.
        is_late: shape (n,); converted after a visit, without an ask.
        n_asks: shape (n,); asks seen.
        n_steps: shape (n,); requests made.
        n_visits: shape (n,); visits made.
    """

    types: IntArray
    is_converted: BoolArray
    is_late: BoolArray
    n_asks: IntArray
    n_steps: IntArray
    n_visits: IntArray

    @property
    def rate(self) -> tuple[float, float]:
        """Share of visitors that converted, and its standard error."""
        n, p = len(self.is_converted), float(self.is_converted.mean())
        return p, float(np.sqrt(p * (1.0 - p) / max(1, n - 1)))


@dataclass(frozen=True, eq=False)
class Pages:
    """A page of each of m visitors: signals at ``at`` (m, S), of which those ``seen`` (m, S) happened."""

    who: IntArray
    visit: int
    step: int
    seen: BoolArray
    at: IntArray
    sent_at: IntArray
    is_late: BoolArray


@dataclass(frozen=True, eq=False)
class Steps:
    """A decision for each of m visitors, and what became of it; ``given`` is what was known when it was made."""

    who: IntArray
    visit: int
    step: int
    at: IntArray
    candidates: Candidates
    asks: IntArray
    propensity: FloatArray
    given: Crowd
    answers: IntArray
    answered_at: IntArray
    is_told: BoolArray


@dataclass(frozen=True, eq=False)
class Partings:
    """The m visitors whose visit ended without a conversion: at what time, and whether a late one or a return comes."""

    who: IntArray
    visit: int
    at: IntArray
    is_late: BoolArray
    is_back: BoolArray


class Watcher(Protocol):
    """Sees everything that happens."""

    def pages(self, pages: Pages) -> None:
        """Visitors looked at a page."""

    def steps(self, steps: Steps) -> None:
        """Visitors were decided for, and answered."""

    def partings(self, partings: Partings) -> None:
        """Visitors went."""


@dataclass(frozen=True)
class PolicyDecider:
    """A policy that decides with the features of a spec, as the service would call it."""

    policy: Policy
    spec: FeatureSpec | None = None

    def __call__(self, candidates: Candidates, crowd: Crowd) -> FloatArray:
        """Probabilities of the candidates."""
        if self.spec is not None:
            columns = FeatureColumns(self.spec, crowd.catalog)
            given = encoded(self.spec, crowd)
            matrix = columns.matrix(crowd.summary, given, candidates.offsets, candidates.asks)
            candidates = replace(candidates, features=matrix)
        return self.policy.distribution(candidates).probabilities


def bundle_decider(policy: Policy, spec: FeatureSpec | None = None) -> PolicyDecider:
    """A bundle's policy as what ``play`` takes; without a spec it gets no features."""
    return PolicyDecider(policy, spec)


def encoded(spec: FeatureSpec, crowd: Crowd) -> Given:
    """Context and answers of a crowd in a spec's encoding; each distinct value is encoded once."""
    channels = Distinct.of(crowd.channel).mapped(lambda name: CHANNEL_CODES.get(name, MISSING))
    return Given(
        channel=np.array(channels.values, dtype=np.float64)[channels.codes],
        context=_inputs(spec.context, crowd, is_context=True),
        answers=_inputs(spec.answers, crowd, is_context=False),
        now=crowd.now,
    )


def _inputs(features: Sequence[Input], crowd: Crowd, *, is_context: bool) -> FloatArray:
    columns = np.empty((len(features), len(crowd)))
    for column, feature in zip(columns, features, strict=True):
        told = crowd.told(feature.name, is_context=is_context).mapped(encoder_of(feature))
        column[:] = np.array(told.values, dtype=np.float64)[told.codes]
    return columns.T


def play(world: World, decide: Decide, n: int, seed: int) -> Played:
    """Sends ``n`` visitors to a policy, who arrive on one day, evenly over its hours.

    A `PolicyDecider` over ``Always`` may answer nothing, and over ``Always("direct")`` is exempt from the effort
    rules, as in `policy.choose`.
    """
    rng = np.random.default_rng(seed)
    return Play(world, decide, rng, MONDAY + rng.integers(0, _DAY_S, n) * SECOND).run()


class CodedCrowd(Crowd):
    """A crowd whose columns of text come with their distinct values, so that nobody needs to look for these."""

    codes: Mapping[tuple[bool, str], Distinct]

    def told(self, name: str, *, is_context: bool) -> Distinct:
        """See ``Crowd.told``."""
        known: Mapping[tuple[bool, str], Distinct] = self.__dict__.get("codes", {})
        found = known.get((is_context, name))
        return super().told(name, is_context=is_context) if found is None else found


class Arm:
    """What is possible for whoever decides: guardrails, and when nothing may be asked."""

    def __init__(self, catalog: Catalog, decide: Decide) -> None:
        self._catalog = catalog
        self._guards = compile_guards(catalog)
        policy = decide.policy if isinstance(decide, PolicyDecider) else None
        self._what = policy.what if isinstance(policy, Always) else None
        self._without_effort: Guards | None = None
        if self._what == "direct":
            self._without_effort = compile_guards(catalog, [rule for rule in GUARDRAILS if not rule.is_effort_rule])

    def candidates(self, crowd: Crowd) -> Candidates:
        """What may be drawn at each decision; no group is empty."""
        catalog = self._catalog
        possible = np.zeros((len(crowd), len(catalog.asks) + 1), dtype=np.bool_)
        possible[:, :-1] = eligible_mask(self._guards, crowd)
        goal = catalog.position[catalog.goal]
        if self._without_effort is not None:
            possible[:, goal] = eligible_mask(self._without_effort, crowd)[:, goal]
        possible[:, -1] = catalog.allow_nothing or self._what == "none"
        if self._what == "direct":
            possible[:, -1] |= ~possible[:, goal]
        candidates = candidates_of(catalog, crowd.summary, possible)
        is_listless = candidates.baseline < 0
        if self._what == "baseline" and (is_listless & ~possible[:, -1]).any():
            possible[:, -1] |= is_listless
            candidates = candidates_of(catalog, crowd.summary, possible)
        return candidates


class Visitors:
    """Hidden traits and moods of n visitors, and how they answer; the tables are the simulator's."""

    def __init__(self, world: World, n: int, rng: np.random.Generator) -> None:
        self._world, self._tables, self._rng = world, tables_of(world), rng
        catalog, types, seen = world.catalog, world.types, world.observation
        self.types = _drawn(np.array([[visitor.share for visitor in types]]), np.zeros(n, dtype=np.int64), rng)
        self.trust = _drawn(np.array([visitor.trust for visitor in types]), self.types, rng)
        self.fatigue, self.marks = np.zeros((2, n), dtype=np.int64)
        is_wrong = (rng.random(n) < seen.misreport) & (len(types) > 1)
        others = (self.types + 1 + rng.integers(0, max(1, len(types) - 1), n)) % len(types)
        hints = [seen.hints[visitor.name] for visitor in types]
        self.context = {seen.hint: Distinct(tuple(hints), np.where(is_wrong, others, self.types))}
        if seen.devices:
            shares = np.array([list(seen.devices.values())])
            self.context["device"] = Distinct(tuple(seen.devices), _drawn(shares, np.zeros(n, dtype=np.int64), rng))
        self.answers: dict[str, Distinct] = {}
        for name, by_type in seen.answers.items():
            values = tuple(dict.fromkeys(value for shares in by_type.values() for value in shares))
            table = np.array([[by_type[visitor.name].get(value, 0.0) for value in values] for visitor in types])
            self.answers[name] = Distinct(values, _drawn(table, self.types, rng))
        marks = list(enumerate(world.marks.values()))
        self._bits = np.array([sum((ask.id in asks) << bit for bit, asks in marks) for ask in catalog.asks])

    def signals(self, who: IntArray) -> BoolArray:
        """Which signals they give on a page, shape (m, S), in the world's order."""
        rates = self._tables.signals[:, self.types[who], self.trust[who]].T
        seen: BoolArray = self._rng.random(rates.shape) < rates
        return seen

    def answer(self, who: IntArray, asks: IntArray) -> IntArray:
        """What becomes of asks: accepted, declined or silence; silence where nothing is asked."""
        hidden = self._hidden(who)
        accept = self._tables.accept[self.marks[who], self.types[who], asks, hidden]
        decline = self._tables.decline[self.types[who], asks, hidden]
        u, v = self._rng.random((2, len(who)))
        answers = np.where(u < accept, ACCEPTED, np.where(v < decline, DECLINED, SILENT))
        return np.where(asks == NOTHING, SILENT, answers)

    def change(self, who: IntArray, asks: IntArray, answers: IntArray) -> BoolArray:
        """What a step does to them; returns who asks for another page."""
        tables, dynamics, types = self._tables, self._world.dynamics, self.types[who]
        is_nothing = asks == NOTHING
        is_yes = (answers == ACCEPTED) & ~is_nothing
        hidden = self._hidden(who)
        u, v, w = self._rng.random((3, len(who)))
        self.marks[who] |= np.where(is_yes, self._bits[asks], 0)
        up = is_yes & (u < tables.trust_up[asks])
        share = np.where(answers == DECLINED, 1.0, dynamics.silence)
        down = ~is_yes & ~is_nothing & (u < share * tables.trust_down[asks, hidden])
        tired = ~is_nothing & (v < tables.tire[types, asks, is_yes.astype(np.int64)])
        rested = is_nothing & (v < dynamics.rest)
        self.trust[who] = np.clip(self.trust[who] + up - down, 0, N_TRUST - 1)
        self.fatigue[who] = np.clip(self.fatigue[who] + tired - rested, 0, N_FATIGUE - 1)
        codes = np.where(is_nothing, _NOTHING, answers)
        stays: BoolArray = w < tables.stay[types, codes, self._hidden(who)]
        return stays

    def part(self, who: IntArray, *, may_return: bool) -> tuple[BoolArray, BoolArray]:
        """At the end of a visit: who buys later, and who comes back; those are changed by the time between."""
        marks, types, hidden = self.marks[who], self.types[who], self._hidden(who)
        u, v, w = self._rng.random((3, len(who)))
        is_late = u < self._tables.late[marks, types, hidden]
        is_back = (v < self._tables.back[marks, types, hidden]) & ~is_late & may_return
        dynamics, back = self._world.dynamics, who[is_back]
        self.trust[back] = np.maximum(0, self.trust[back] - (w[is_back] < dynamics.forget))
        self.fatigue[back] = np.maximum(0, self.fatigue[back] - dynamics.recovery)
        return is_late, is_back

    def _hidden(self, who: IntArray) -> IntArray:
        return self.trust[who] * N_FATIGUE + self.fatigue[who]


class Play:
    """One play: visitors who come first at ``arrivals``, shape (n,), in microseconds."""

    def __init__(
        self,
        world: World,
        decide: Decide,
        rng: np.random.Generator,
        arrivals: IntArray,
        watcher: Watcher | None = None,
    ) -> None:
        n = len(arrivals)
        self._world, self._decide, self._rng, self._watcher = world, decide, rng, watcher
        self._arm = Arm(world.catalog, decide)
        self.visitors = Visitors(world, n, rng)
        catalog = world.catalog
        self._goal = catalog.position[catalog.goal]
        self._places = [catalog.signals.index(name) for name in world.observation.signals]
        self._collecting = {
            name: np.array([name in ask.collects for ask in catalog.asks] + [False]) for name in self.visitors.answers
        }
        self._is_known = {name: np.zeros(n, dtype=np.bool_) for name in self.visitors.answers}
        self._now = arrivals.astype(np.int64)
        counts = np.zeros((3, n), dtype=np.int64)
        self._played = Played(self.visitors.types, *np.zeros((2, n), dtype=np.bool_), *counts)

    def run(self) -> Played:
        """Everything, until the last visitor is gone for good."""
        leaving, timing = self._world.leaving, self._world.timing
        here, state = np.arange(len(self._now)), blank(len(self._now), self._world.catalog)
        for visit in range(leaving.max_visits):
            if len(here) == 0:
                break
            self._played.n_visits[here] += 1
            here, state = self._visit(here, state, visit)
            is_late, is_back = self.visitors.part(here, may_return=visit + 1 < leaving.max_visits)
            self._played.is_converted[here[is_late]] = True
            self._played.is_late[here[is_late]] = True
            if self._watcher is not None:
                self._watcher.partings(Partings(here, visit, self._now[here], is_late, is_back))
            here, state = here[is_back], state.take(is_back)
            self._now[here] += self.between(timing.back_s, len(here))
        return self._played

    def between(self, ends: tuple[float, float], n: int) -> IntArray:
        """Durations in microseconds between two in seconds, shape (n,)."""
        return ((ends[0] + (ends[1] - ends[0]) * self._rng.random(n)) * SECOND).astype(np.int64)

    def _visit(self, who: IntArray, state: Summary, visit: int) -> tuple[IntArray, Summary]:
        """A visit of everybody; those who did not convert in it, and their states."""
        gone, left = [], []
        n_steps = self._world.leaving.max_steps
        for step in range(n_steps):
            state, asks, answers = self._step(state, who, visit, step)
            is_bought = (asks == self._goal) & (answers == ACCEPTED)
            self._played.is_converted[who[is_bought]] = True
            stays = self.visitors.change(who, asks, answers) & (step + 1 < n_steps)
            gone.append(who[~stays & ~is_bought])
            left.append(state.take(~stays & ~is_bought).compact())
            who, state = who[stays & ~is_bought], state.take(stays & ~is_bought).compact()
            if len(who) == 0:
                break
        return np.concatenate(gone), joined_summaries(left)

    def _step(self, state: Summary, who: IntArray, visit: int, step: int) -> tuple[Summary, IntArray, IntArray]:
        """A page with its signals, a decision, and its answer; the states after it."""
        catalog, n = self._world.catalog, len(who)
        asks_at = self._now[who] + np.maximum(self.between(self._world.timing.page_s, n), SECOND)
        state = self._page(state, who, asks_at, visit, step)
        crowd = self._crowd(state, who, asks_at)
        candidates = self._arm.candidates(crowd)
        asks, propensity = draw(candidates, self._decide(candidates, crowd), self._rng)
        answers = self.visitors.answer(who, asks)
        is_shown = asks != NOTHING
        thinks = np.maximum(self.between(self._world.timing.think_s, n), SECOND)
        at = np.where(is_shown, asks_at + thinks, asks_at)
        is_told = is_shown & ((answers != SILENT) | (self._rng.random(n) < self._world.observation.reports_ignored))
        if self._watcher is not None:
            drawn = (candidates, asks, propensity)
            self._watcher.steps(Steps(who, visit, step, asks_at, *drawn, crowd, answers, at, is_told))
        after = Aftermath(asks, answers, at, at, np.zeros((n, len(catalog.signals)), dtype=np.int64), at)
        state = successors(state, asks_at, after, catalog)
        for name, collects in self._collecting.items():
            self._is_known[name][who[collects[asks] & (answers == ACCEPTED)]] = True
        self._now[who] = at
        self._played.n_steps[who] += 1
        self._played.n_asks[who] += is_shown
        # Silence that the site is told of is a sign of life like any other event.
        last_event_at = np.where(is_told, np.maximum(state.last_event_at, at), state.last_event_at)
        return replace(state, last_event_at=last_event_at), asks, answers

    def _page(self, state: Summary, who: IntArray, asks_at: IntArray, visit: int, step: int) -> Summary:
        """A page is looked at until the request; its signals are sent just before it, or arrive late."""
        catalog, n, began_at = self._world.catalog, len(who), self._now[who]
        seen = self.visitors.signals(who)
        gap = (asks_at - _SIGNAL_LEAD - began_at) // (seen.sum(axis=1) + 1)
        at = began_at[:, None] + np.maximum(np.cumsum(seen, axis=1) - 1, 0) * gap[:, None]
        is_late = self._rng.random(n) < self._world.observation.late_signals
        if self._watcher is not None:
            self._watcher.pages(Pages(who, visit, step, seen, at, asks_at - _SIGNAL_LEAD, is_late))
        n_signals, signaled_at = np.zeros((2, n, len(catalog.signals)), dtype=np.int64)
        n_signals[:, self._places] = seen & ~is_late[:, None]
        signaled_at[:, self._places] = at
        silent = np.full(n, SILENT)
        after = Aftermath(np.full(n, NOTHING), silent, began_at, asks_at, n_signals, signaled_at)
        return successors(state, began_at, after, catalog)

    def _crowd(self, state: Summary, who: IntArray, now: IntArray) -> Crowd:
        context = {name: Distinct(told.values, told.codes[who]) for name, told in self.visitors.context.items()}
        answers = {
            name: Distinct((None, *told.values), np.where(self._is_known[name][who], told.codes[who] + 1, 0))
            for name, told in self.visitors.answers.items()
        }
        catalog = self._world.catalog
        crowd = CodedCrowd(
            catalog=catalog,
            summary=state,
            now=now,
            channel=np.full(len(who), "web", dtype=object),
            context={name: _objects(told) for name, told in context.items()},
            answers={name: _objects(told) for name, told in answers.items()},
            withheld=np.zeros((len(who), len(catalog.asks)), dtype=np.bool_),
        )
        codes = {(True, name): told for name, told in context.items()}
        crowd.__dict__["codes"] = codes | {(False, name): told for name, told in answers.items()}
        return crowd


def draw(candidates: Candidates, p: FloatArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """One ask of each group and the probability with which it was drawn, each of shape (n,)."""
    starts, ends = candidates.offsets[:-1], candidates.offsets[1:]
    total = np.concatenate([[0.0], np.cumsum(p)])
    u = total[starts] + rng.random(len(starts)) * (total[ends] - total[starts])
    rows = np.clip(np.searchsorted(total, u, side="right") - 1, starts, ends - 1)
    # Rounding at the end of a group may fall on a candidate of probability 0: then the group's likeliest is taken.
    for group in np.flatnonzero(p[rows] <= 0.0):
        rows[group] = starts[group] + np.argmax(p[starts[group] : ends[group]])
    return candidates.asks[rows], p[rows]


def blank(n: int, catalog: Catalog) -> Summary:
    """The states of visitors never seen."""
    scalars: dict[str, Any] = {name: np.zeros(n, dtype=np.int64) for name in SCALARS}
    scalars["answered_ask"] = np.full(n, NO_ASK)
    return Summary(
        **scalars,
        ask_places=np.zeros((n, len(catalog.asks)), dtype=np.int32),
        ask_table=np.zeros((len(ASK_MEMORY), 1), dtype=np.int64),
        signal_places=np.zeros((n, len(catalog.signals)), dtype=np.int32),
        signal_table=np.zeros((len(SIGNAL_MEMORY), 1), dtype=np.int64),
    )


def _drawn(shares: FloatArray, rows: IntArray, rng: np.random.Generator) -> IntArray:
    """A column for each row of a table of shares, drawn by them."""
    edges = np.cumsum(shares, axis=1)[:, :-1]
    drawn: IntArray = (rng.random(len(rows))[:, None] >= edges[rows]).sum(axis=1)
    return drawn


def _objects(told: Distinct) -> npt.NDArray[Any]:
    values = np.empty(len(told.values), dtype=object)
    values[:] = told.values
    found: npt.NDArray[Any] = values[told.codes]
    return found
