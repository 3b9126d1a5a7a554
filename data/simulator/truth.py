"""The exact value of policies in a simulated world: the probability that a visitor converts, by dynamic programming.

Nothing here samples. A visitor's future depends on the type, trust, fatigue and on what the guardrails remember, all
of which are finite (`data.simulator.graph`); values are carried back from the last possible step to the first.

What is represented: the world as the driver plays it, and the guardrails listed in `data.simulator.rules`. A catalog
with other guardrails is refused (`BadInput`), since the site would obey rules that the truth does not know.
The rules are those of the service's arms: *baseline* shows the first eligible ask of a list not yet shown in the
episode, else the first eligible of the list, else nothing; *direct* shows the goal ask, exempt from the two effort
rules, else nothing; *random* draws uniformly from the eligible asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from data.errors import BadInput
from data.simulator.choices import free_choice, in_order, positions
from data.simulator.clock import Clock, SimulatedClock
from data.simulator.drive import DriveOptions, Site, drive
from data.simulator.graph import Graph, How, build, rules_of, values
from data.simulator.rules import NOTHING, Rules, unrepresented
from data.simulator.tables import tables_of
from data.simulator.world import World

_DAY_S: Final = 86_400
MONDAY: Final = 1_767_571_200_000_000
"""2026-01-05T00:00:00Z, when simulations start unless told otherwise."""


def value_of_sequence(world: World, sequence: Sequence[str]) -> float:
    """Probability that a visitor converts when the site follows a fixed list of asks as a baseline.

    Raises:
        BadInput: the list names an unknown ask, or the catalog has guardrails that truth does not represent.
    """
    rules = exact_rules(world)
    return _value(world, build(world, rules, in_order(rules, positions(world.catalog, sequence))), "mean")


def value_of_random(world: World) -> float:
    """Probability that a visitor converts when asks are drawn uniformly from the eligible ones."""
    return _value(world, everything(world), "mean")


def value_of_direct(world: World) -> float:
    """Probability that a visitor converts when only the goal is ever asked."""
    exact_rules(world)
    rules = rules_of(world, is_direct=True)
    return _value(world, build(world, rules, in_order(rules, [rules.goal])), "mean")


def value_of_nothing(world: World) -> float:
    """Probability that a visitor converts when nothing is ever asked."""
    return _value(world, build(world, exact_rules(world), lambda _: (NOTHING,)), "mean")


@lru_cache(maxsize=8)
def clairvoyant_value(world: World) -> float:
    """Conversion of the best policy that sees each visitor's type, trust and fatigue, under the same guardrails.

    No policy that a site could run does better; how much of it can be reached without that sight is unknown.
    """
    return _value(world, everything(world), "max")


@lru_cache(maxsize=8)
def worst_value(world: World) -> float:
    """Conversion of the worst policy that sees everything; equals `clairvoyant_value` where asks have no effect."""
    return _value(world, everything(world), "min")


@lru_cache(maxsize=1)
def everything(world: World) -> Graph:
    """All books that any policy can reach. Large: the last world's is kept."""
    rules = exact_rules(world)
    return build(world, rules, free_choice(rules))


def simulate_value(world: World, decider: Callable[[Clock], Site], n: int, seed: int) -> tuple[float, float]:
    """Share of ``n`` simulated visitors that convert, and its standard error.

    ``decider`` makes the site that is judged, given the clock it should read. The same seed brings the same visitors
    to every decider.
    """
    clock = SimulatedClock(MONDAY)
    truth = drive(world, decider(clock), n_visitors=n, seed=seed, started_at=MONDAY, options=DriveOptions(clock=clock))
    return truth.conversion


def exact_rules(world: World) -> Rules:
    """The guardrails of a world whose truth can be exact."""
    catalog, leaving, timing = world.catalog, world.leaving, world.timing
    refused = unrepresented(catalog)
    per_day = catalog.limits.max_asks_per_day
    if per_day is not None and (per_day < leaving.max_steps or timing.back_s[0] < _DAY_S):
        refused.append("limits.max_asks_per_day")
    longest_s = (leaving.max_visits - 1) * (timing.back_s[1] + _visit_s(world)) + _visit_s(world)
    if longest_s >= catalog.conversion_window_s:
        refused.append("conversion_window shorter than a visitor's visits")
    if (
        max(timing.page_s[1], timing.think_s[1]) * 2 >= catalog.session_gap_s
        or timing.back_s[0] < catalog.session_gap_s
    ):
        refused.append("session_gap that does not separate the visits")
    if refused:
        raise BadInput(f"world {world.name}: truth is not exact under these rules of the catalog: {'; '.join(refused)}")
    return rules_of(world)


def _visit_s(world: World) -> float:
    return world.leaving.max_steps * (world.timing.page_s[1] + world.timing.think_s[1])


def _value(world: World, graph: Graph, how: How) -> float:
    *_, (_, first) = values(world, graph, how)
    return float(np.sum(first[:, 0] * tables_of(world).start))
