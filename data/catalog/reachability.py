"""Whether a baseline can convert: a walk along it by a visitor who accepts everything and comes back in time.

The walk asks what the baseline asks (the first eligible ask not yet shown in the episode) under the limits that
hold for everybody: ``requires``, ``excludes``, ``max_effort_step``, ``max_effort_gap``, ``max_asks_per_session``,
``max_asks_per_day``, ``min_gap``. Rules about the context, the channel, consent, dates, and what is known of a
visitor are left aside; those about declines never apply. It ends with the goal, with asks none of which can ever
come, or at the end of the conversion window.

An ask that was shown was accepted, so the rest of the baseline is what was not shown. Showing a repeatable ask
again lifts no limit; therefore the walk never does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from data.catalog.findings import Finding, listed
from data.clock import format_duration
from data.domain import Ask, Catalog

DAY_S: Final = 86_400
_ROUNDING: Final = 1e-9
"""As in the effort guardrails: 0.1 + 0.2 is not more than 0.3."""

Wait = Literal["min_gap", "max_asks_per_session", "max_asks_per_day"]


@dataclass(frozen=True, slots=True)
class Step:
    """An ask of the walk: when it can come at the earliest, and which limit it had to wait for, if any."""

    ask_id: str
    at_s: int
    visit: int
    wait: Wait | None


class Obstacle(NamedTuple):
    """A limit that forbids an ask however long one waits: what is the case, and what is allowed."""

    ask_id: str
    received: str
    allowed: str


@dataclass(frozen=True, slots=True)
class Walk:
    """The walk along a baseline.

    ``steps`` are the asks accepted; the last one is the goal where it was reached. ``late`` is the step that would
    have come next, had the conversion window not been over. ``stuck`` is why the rest of the baseline can never come.
    """

    steps: tuple[Step, ...]
    is_converted: bool
    late: Step | None = None
    stuck: tuple[Obstacle, ...] = ()


@dataclass
class _Visitor:
    """What the limits depend on."""

    shown_at_s: list[int] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    highest_effort: float = 0
    n_session: int = 0
    visit: int = 1


def walk_baseline(catalog: Catalog) -> Walk:
    """The walk of a visitor who accepts everything, each ask as early as it can come."""
    visitor = _Visitor()
    steps: list[Step] = []
    rest = [catalog.ask(name) for name in catalog.baseline]
    while True:
        i = next((i for i, ask in enumerate(rest) if not _obstacles(ask, catalog, visitor)), None)
        if i is None:
            return Walk(tuple(steps), is_converted=False, stuck=tuple(_stuck(rest, catalog, visitor)))
        ask = rest.pop(i)
        step = _earliest(ask, catalog, visitor)
        if step.at_s >= catalog.conversion_window_s:
            return Walk(tuple(steps), is_converted=False, late=step)
        steps.append(step)
        if ask.id == catalog.goal:
            return Walk(tuple(steps), is_converted=True)
        visitor.n_session = visitor.n_session + 1 if step.visit == visitor.visit else 1
        visitor.visit = step.visit
        visitor.shown_at_s.append(step.at_s)
        visitor.accepted.add(ask.id)
        visitor.highest_effort = max(visitor.highest_effort, ask.effort)


def dead_ends(catalog: Catalog) -> list[Finding]:
    """Why the baseline, everything accepted, cannot reach the goal; empty when it can."""
    walk = walk_baseline(catalog)
    if walk.is_converted:
        return []
    if walk.late is not None:
        return [_too_late(catalog, walk, walk.late)]
    accepted = [step.ask_id for step in walk.steps]
    so_far = f"after {listed(accepted)}" if accepted else "at the start"
    return [
        Finding(
            ("baseline", catalog.baseline.index(obstacle.ask_id)),
            f"the goal {catalog.goal} cannot be reached even when everything is accepted: {obstacle.ask_id} is not "
            f"possible {so_far}",
            obstacle.received,
            obstacle.allowed,
        )
        for obstacle in walk.stuck
    ]


def delays(catalog: Catalog) -> list[Finding]:
    """What keeps the baseline from reaching the goal within one visit; empty when nothing does."""
    walk = walk_baseline(catalog)
    first = next((step for step in walk.steps if step.visit > 1), None)
    if not walk.is_converted or first is None or first.wait is None:
        return []
    last = walk.steps[-1]
    problem = (
        f"keeps the baseline from reaching the goal in one visit: {first.ask_id}, ask {walk.steps.index(first) + 1} "
        f"of {len(walk.steps)}, waits for it; it takes {last.visit} visits and {_duration(last.at_s)} at least"
    )
    return [Finding(("limits", first.wait), problem, _limit(catalog, first.wait), "")]


def _stuck(rest: Sequence[Ask], catalog: Catalog, visitor: _Visitor) -> Iterator[Obstacle]:
    for ask in rest:
        for received, allowed in _obstacles(ask, catalog, visitor):
            yield Obstacle(ask.id, received, allowed)


def _obstacles(ask: Ask, catalog: Catalog, visitor: _Visitor) -> list[tuple[str, str]]:
    """What forbids an ask until something else is accepted, or for ever; and what is allowed."""
    limits, accepted, highest = catalog.limits, visitor.accepted, visitor.highest_effort
    obstacles = []
    missing = [name for name in ask.requires if name not in accepted]
    if missing:
        obstacles.append((f"requires [{listed(missing)}]", "requirements that the baseline can reach before it"))
    excluding = [name for name in ask.excludes if name in accepted]
    if excluding:
        obstacles.append((f"excludes [{listed(excluding)}]", "nothing before it that it excludes"))
    step = limits.max_effort_step
    is_exempt = limits.direct_ask and ask.id == catalog.goal
    if step is not None and not is_exempt and ask.effort > highest + step + _ROUNDING:
        received = f"effort {ask.effort:g}, highest accepted effort {highest:g}"
        obstacles.append((received, f"an effort of at most {highest + step:g}, as limits.max_effort_step is {step:g}"))
    gap = limits.max_effort_gap
    if gap is not None and ask.effort - ask.gives > gap + _ROUNDING:
        received = f"effort {ask.effort:g}, gives {ask.gives:g}"
        obstacles.append((received, f"an effort of at most {ask.gives + gap:g}, as limits.max_effort_gap is {gap:g}"))
    return obstacles


def _earliest(ask: Ask, catalog: Catalog, visitor: _Visitor) -> Step:
    """When the limits of the journey let the next ask come, and the one that took longest."""
    limits, shown = catalog.limits, visitor.shown_at_s
    if not shown:
        return Step(ask.id, 0, 1, None)
    at_s: int = shown[-1]
    wait: Wait | None = None
    candidates: list[tuple[int, Wait]] = []
    if limits.min_gap_s is not None:
        candidates.append((shown[-1] + limits.min_gap_s, "min_gap"))
    if limits.max_asks_per_day is not None and len(shown) >= limits.max_asks_per_day:
        candidates.append((shown[-limits.max_asks_per_day] + DAY_S, "max_asks_per_day"))
    if limits.max_asks_per_session is not None and visitor.n_session >= limits.max_asks_per_session:
        candidates.append((shown[-1] + catalog.session_gap_s, "max_asks_per_session"))
    for candidate_s, limit in candidates:
        if candidate_s > at_s:
            at_s, wait = candidate_s, limit
    is_new_visit = at_s - shown[-1] >= catalog.session_gap_s
    return Step(ask.id, at_s, visitor.visit + is_new_visit, wait)


def _too_late(catalog: Catalog, walk: Walk, late: Step) -> Finding:
    limit = late.wait or "min_gap"
    problem = (
        f"the goal {catalog.goal} cannot be reached within the conversion window even when everything is accepted: "
        f"{late.ask_id}, ask {len(walk.steps) + 1} of the baseline, can come {_duration(late.at_s)} "
        "after the first ask at the earliest"
    )
    allowed = f"a limit under which the goal comes within {format_duration(catalog.conversion_window_s)}"
    return Finding(("limits", limit), problem, _limit(catalog, limit), allowed)


def _limit(catalog: Catalog, limit: Wait) -> str:
    limits = catalog.limits
    if limit == "min_gap":
        return format_duration(limits.min_gap_s or 0)
    return str(limits.max_asks_per_day if limit == "max_asks_per_day" else limits.max_asks_per_session)


def _duration(seconds: int) -> str:
    """A duration rounded up to what people say."""
    for size, unit in ((DAY_S, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{-(-seconds // size)} {unit}"
    return f"{seconds} seconds"
