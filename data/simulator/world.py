"""What a simulated site is made of: visitors with hidden traits, and how they answer, tire, come back and buy.

A `World` is plain data. Its visitors are never told to the site that decides; what the site sees is a context that
often misreports them, signals, and answers.

In plain words: a visitor arrives with some **trust** (0 to 4) and no **fatigue** (0 to 4). Each trust level has an
effort that feels comfortable; an ask beyond it *strains*, and straining asks are refused. An accepted ask that gives
something raises trust, so a larger ask becomes comfortable next time: the foot in the door (Freedman and Fraser
1966, "Compliance without pressure"). A large ask too early lowers trust, every ask may tire, and tired or mistrusting
visitors leave. Types of visitors like different kinds of asks. Some buy days after their visit.

Trust and fatigue are few levels on purpose: with a finite hidden state the value of a policy can be computed
exactly (`data.simulator.truth`) instead of estimated.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final

from data.catalog import catalog_from_tree, tree_of
from data.domain import Catalog
from data.errors import BadInput
from data.simulator.plain import from_plain, to_plain

N_TRUST: Final = 5
N_FATIGUE: Final = 5
ANSWERS: Final = ("accepted", "declined", "ignored", "nothing")
"""What can become of one step; ``nothing`` where the site asked nothing."""


@dataclass(frozen=True)
class VisitorType:
    """One kind of visitor.

    Attributes:
        name: never sent to the site.
        share: of all visitors.
        trust: probability of each trust level on arrival.
        patience: the higher, the slower they tire and leave.
        readiness: added to the log-odds of accepting the goal ask.
        affinity: kind of ask -> added to the log-odds of accepting such an ask.
    """

    name: str
    share: float
    trust: tuple[float, ...]
    patience: float = 0.0
    readiness: float = 0.0
    affinity: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """How an ask is answered.

    Log-odds of accepting = appeal + affinity (+ readiness and marks for the goal) - ``strain`` * strain - ``fatigue``
    * fatigue level, where strain = log(1 + exp(effort - comfort of the trust level)). An ask that is not accepted is
    declined with log-odds ``decline`` + ``decline_strain`` * strain, else ignored.

    Attributes:
        appeal: log-odds of each ask when nothing strains.
        comfort: the effort that feels comfortable at each trust level.
        strain: log-odds lost per unit of strain.
        fatigue: log-odds lost per level of fatigue.
        marks: mark -> log-odds it adds to the goal ask.
        decline: log-odds of a decline instead of silence.
        decline_strain: log-odds of a decline per unit of strain.
        never: asks that nobody ever accepts.
    """

    appeal: Mapping[str, float]
    comfort: tuple[float, ...]
    strain: float = 0.0
    fatigue: float = 0.0
    marks: Mapping[str, float] = field(default_factory=dict)
    decline: float = 0.0
    decline_strain: float = 0.0
    never: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dynamics:
    """How an answer changes the visitor; all numbers without another word are log-odds.

    Attributes:
        trust_up: trust rises one level after an acceptance ...
        trust_up_gives: ... per unit of what the ask gives.
        trust_down: trust falls one level after a decline ...
        trust_down_strain: ... per unit of strain.
        silence: probability of falling after silence, as a share of that after a decline.
        tire: fatigue rises one level with an ask that is not accepted (minus the visitor's patience) ...
        tire_effort: ... per unit of effort.
        relief: taken off when the ask is accepted.
        rest: probability that fatigue falls one level when nothing is asked.
        recovery: levels of fatigue lost between two visits.
        forget: probability that trust falls one level between two visits.
    """

    trust_up: float = 0.0
    trust_up_gives: float = 0.0
    trust_down: float = 0.0
    trust_down_strain: float = 0.0
    silence: float = 0.5
    tire: float = 0.0
    tire_effort: float = 0.0
    relief: float = 0.0
    rest: float = 0.0
    recovery: int = N_FATIGUE - 1
    forget: float = 0.0


@dataclass(frozen=True)
class Leaving:
    """Whether a visitor stays on, comes back, or buys later; log-odds unless said otherwise.

    Attributes:
        stay: of asking for another page after a step (plus the visitor's patience) ...
        stay_trust: ... per level of trust.
        stay_fatigue: ... per level of fatigue.
        stay_answer: ... by what became of the step (``accepted declined ignored nothing``).
        late: of converting after the visit without another ask ...
        late_trust: ... per level of trust.
        late_marks: ... by mark.
        back: of coming back for another visit ...
        back_trust: ... per level of trust.
        back_fatigue: ... per level of fatigue.
        back_marks: ... by mark.
        max_steps: most requests of one visit.
        max_visits: most visits of one visitor.
    """

    stay: float = 0.0
    stay_trust: float = 0.0
    stay_fatigue: float = 0.0
    stay_answer: Mapping[str, float] = field(default_factory=dict)
    late: float = 0.0
    late_trust: float = 0.0
    late_marks: Mapping[str, float] = field(default_factory=dict)
    back: float = 0.0
    back_trust: float = 0.0
    back_fatigue: float = 0.0
    back_marks: Mapping[str, float] = field(default_factory=dict)
    max_steps: int = 6
    max_visits: int = 3


@dataclass(frozen=True)
class SignalRate:
    """Log-odds of a signal on one page: ``base`` + ``trust`` per level + ``readiness`` * the visitor's readiness."""

    base: float
    trust: float = 0.0
    readiness: float = 0.0


@dataclass(frozen=True)
class Observation:
    """What the site gets to see.

    Attributes:
        hint: the context feature that reports the visitor's type.
        hints: type -> what the feature says for it.
        misreport: share of visitors for whom the hint is that of another type.
        devices: ``context.device`` -> share; says nothing about the visitor.
        signals: signal -> how often it is seen.
        answers: answer -> type -> value -> share; what visitors tell when they accept an ask that collects it.
        reports_left: share of final departures the site hears of (``left``).
        reports_ignored: share of ignored asks the site is told of (``ignored``); the others just stay open.
        late_signals: share of pages whose signals arrive up to two hours late.
        orders: share of conversions that carry an ``order_id``.
        webhooks: share of accepted goals with an ``order_id`` that a webhook reports once more as ``converted``.
    """

    hint: str
    hints: Mapping[str, str]
    misreport: float = 0.25
    devices: Mapping[str, float] = field(default_factory=dict)
    signals: Mapping[str, SignalRate] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    reports_left: float = 0.5
    reports_ignored: float = 0.5
    late_signals: float = 0.02
    orders: float = 0.5
    webhooks: float = 0.5


@dataclass(frozen=True)
class Timing:
    """When things happen; pairs are the ends of a uniform range.

    Attributes:
        visitors_per_day: mean number of first visits in a day.
        night: share of the hourly rate lost at the quietest hour (sinusoidal over the day, quietest at 03:00 UTC).
        page_s: seconds from one step to the next request.
        think_s: seconds from an ask to its answer.
        back_s: seconds from leaving to the next visit.
        late_s: seconds from leaving to a late conversion.
        report_s: seconds until the site hears of a late conversion.
        order_value: mean value of an order.
    """

    visitors_per_day: float = 2_000.0
    night: float = 0.8
    page_s: tuple[float, float] = (5.0, 180.0)
    think_s: tuple[float, float] = (2.0, 90.0)
    back_s: tuple[float, float] = (90_000.0, 200_000.0)
    late_s: tuple[float, float] = (3_600.0, 100_000.0)
    report_s: tuple[float, float] = (1.0, 20_000.0)
    order_value: float = 40.0


@dataclass(frozen=True, eq=False)
class World:
    """A simulated site; worlds of equal content are equal.

    ``marks`` names lasting effects of an acceptance: mark -> asks of which any one sets it (``reachable`` ->
    newsletter, advice chat). What a mark does is said by `Response`, and by `Leaving`.
    """

    name: str
    title: str
    catalog: Catalog
    types: tuple[VisitorType, ...]
    response: Response
    dynamics: Dynamics
    leaving: Leaving
    observation: Observation
    timing: Timing = Timing()
    marks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = faults_of(self)
        if faults:
            raise BadInput(f"world {self.name}: " + "; ".join(faults))

    def to_json(self) -> dict[str, Any]:
        """The world as plain JSON values; the catalog is laid out as in its file."""
        parts = {part.name: to_plain(getattr(self, part.name)) for part in fields(self) if part.name != "catalog"}
        return {**parts, "catalog": tree_of(self.catalog)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> World:
        """The world that `to_json` wrote.

        Raises:
            BadInput: it is no world.
        """
        parts = {name: value for name, value in document.items() if name != "catalog"}
        catalog = catalog_from_tree(document.get("catalog", {}), "world.catalog")
        return from_plain(cls, parts, given={"catalog": catalog})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, World) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def faults_of(world: World) -> list[str]:
    """What keeps a world from being played, in words; empty when nothing does."""
    return [*_faults_of_types(world), *_faults_of_names(world), *_faults_of_numbers(world)]


def _faults_of_types(world: World) -> Iterator[str]:
    if not _sums_to_one([visitor.share for visitor in world.types]):
        yield "types: shares must be at least 0 and sum to 1"
    for visitor in world.types:
        if len(visitor.trust) != N_TRUST or not _sums_to_one(visitor.trust):
            yield f"types.{visitor.name}.trust: {N_TRUST} probabilities that sum to 1; received {visitor.trust}"
        if visitor.name not in world.observation.hints:
            yield f"observation.hints: lacks the type {visitor.name}"
    if len(world.response.comfort) != N_TRUST:
        yield f"response.comfort: one effort for each of {N_TRUST} trust levels; received {world.response.comfort}"


def _faults_of_names(world: World) -> Iterator[str]:
    asks = set(world.catalog.position)
    marked = {ask for names in world.marks.values() for ask in names}
    collected = {name for ask in world.catalog.asks for name in ask.collects}
    kinds = {ask.kind for ask in world.catalog.asks}
    used = {
        "response.appeal": (set(world.response.appeal), asks),
        "response.never": (set(world.response.never), asks),
        "response.marks": (set(world.response.marks), set(world.marks)),
        "leaving.late_marks": (set(world.leaving.late_marks), set(world.marks)),
        "leaving.back_marks": (set(world.leaving.back_marks), set(world.marks)),
        "leaving.stay_answer": (set(world.leaving.stay_answer), set(ANSWERS)),
        "marks": (marked, asks),
        "types.affinity": ({kind for visitor in world.types for kind in visitor.affinity}, kinds),
        "observation.signals": (set(world.observation.signals), set(world.catalog.signals)),
        "observation.answers": (set(world.observation.answers), collected),
    }
    for place, (names, allowed) in used.items():
        for name in sorted(names - allowed):
            yield f"{place}: unknown name; received {name!r}; allowed: {', '.join(sorted(allowed)) or 'none'}"


def _faults_of_numbers(world: World) -> Iterator[str]:
    seen, leaving, timing = world.observation, world.leaving, world.timing
    shares = {
        "observation.misreport": seen.misreport,
        "observation.reports_left": seen.reports_left,
        "observation.reports_ignored": seen.reports_ignored,
        "observation.late_signals": seen.late_signals,
        "observation.orders": seen.orders,
        "observation.webhooks": seen.webhooks,
        "dynamics.silence": world.dynamics.silence,
        "dynamics.rest": world.dynamics.rest,
        "dynamics.forget": world.dynamics.forget,
        "timing.night": timing.night,
    }
    for place, value in shares.items():
        if not 0.0 <= value <= 1.0:
            yield f"{place}: received {value}; allowed: 0 to 1"
    if leaving.max_steps < 1 or leaving.max_visits < 1:
        yield "leaving: max_steps and max_visits must be at least 1"
    if seen.devices and not _sums_to_one(seen.devices.values()):
        yield "observation.devices: shares must be at least 0 and sum to 1"
    for answer, by_type in seen.answers.items():
        for visitor in world.types:
            if not _sums_to_one(by_type.get(visitor.name, {}).values()):
                yield f"observation.answers.{answer}.{visitor.name}: shares must be at least 0 and sum to 1"
    for name in ("page_s", "think_s", "back_s", "late_s", "report_s"):
        low, high = getattr(timing, name)
        if not 0.0 <= low <= high:
            yield f"timing.{name}: received {(low, high)}; allowed: two durations, the shorter first"
    if timing.visitors_per_day <= 0.0:
        yield f"timing.visitors_per_day: received {timing.visitors_per_day}; allowed: more than 0"


def _sums_to_one(shares: Iterable[float]) -> bool:
    found = list(shares)
    return all(share >= 0.0 for share in found) and math.isclose(sum(found), 1.0, abs_tol=1e-9)
