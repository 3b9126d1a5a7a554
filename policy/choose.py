"""One decision as a pure function: situation and arm in, a probability for every ask and one drawn ask out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.domain import AskId, Catalog
from features.state import JourneyState
from policy.baseline import baseline_ask
from policy.candidates import NOTHING, Candidates, FloatArray
from policy.draw import pick
from policy.guardrails.protocol import Block
from policy.live import LiveJourney, Served, fallback
from policy.policies import Always
from policy.situation import Situation


@dataclass(frozen=True, slots=True)
class Weighed:
    """What an arm makes of a situation before the draw.

    ``probabilities`` stand in the order of ``eligible`` and sum to 1. ``values`` and ``p_accepts`` are ``None``
    where no model was asked. ``withheld`` are the asks that the request itself ruled out.
    """

    served: Served
    eligible: tuple[AskId, ...]
    probabilities: tuple[float, ...]
    values: tuple[float, ...] | None
    p_accepts: tuple[float, ...] | None
    blocked: Mapping[str, Block]
    withheld: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A drawn ask and the probability with which it was drawn."""

    weighed: Weighed
    ask_id: AskId
    propensity: float


def choose(live: LiveJourney, situation: Situation, serve: Served, unit: float) -> Choice:
    """Weighs the situation and draws one ask with ``unit`` in [0, 1)."""
    weighed = weigh(live, situation, serve)
    row = pick(weighed.probabilities, unit)
    return Choice(weighed, weighed.eligible[row], weighed.probabilities[row])


def weigh(live: LiveJourney, situation: Situation, serve: Served) -> Weighed:
    """Guardrails first, then the arm's policy over what they left.

    A policy that fails on this situation is replaced by the baseline under the name ``fallback``: then nothing is
    drawn at random, and the probability says so.
    """
    blocked = live.guards.first_blocks(situation)
    withheld = tuple(ask_id for ask_id, block in blocked.items() if block.guardrail in live.guards.request_rules)
    eligible = eligible_asks(live, situation, serve, blocked)
    if serve.is_direct and live.catalog.goal in eligible:
        blocked.pop(live.catalog.goal, None)
    candidates = candidates_of(live.catalog, situation.state, eligible)
    try:
        if serve.rows is not None:
            candidates = serve.rows.with_features(candidates, situation)
        distribution = serve.policy.distribution(candidates)
    except (ValueError, ArithmeticError, LookupError) as error:
        reason = f"{serve.label} failed on this request: {error}"
        return weigh(live, situation, fallback(reason))
    scores = distribution.scores
    return Weighed(
        served=serve,
        eligible=eligible,
        probabilities=tuple(distribution.probabilities.tolist()),
        values=None if scores is None else tuple(scores.values.tolist()),
        p_accepts=None if scores is None else tuple(scores.p_accepts.tolist()),
        blocked=blocked,
        withheld=withheld,
    )


def eligible_asks(
    live: LiveJourney, situation: Situation, serve: Served, blocked: Mapping[str, Block]
) -> tuple[AskId, ...]:
    """What can be drawn, in the catalog's order; asking nothing (``None``) last where it is possible.

    Nothing is possible with ``allow_nothing``, when nothing else is left, and when the arm itself answers nothing.
    The arm ``direct`` may show the goal ask past the two effort rules.
    """
    catalog = live.catalog
    asks: list[AskId] = [ask.id for ask in catalog.asks if ask.id not in blocked]
    if serve.is_direct and catalog.goal in blocked and _only_effort_blocks(live, situation):
        position = catalog.position
        asks.append(catalog.goal)
        asks.sort(key=lambda ask_id: position[ask_id or ""])
    if catalog.allow_nothing or not asks or _answers_nothing(catalog, situation.state, serve, asks):
        asks.append(None)
    return tuple(asks)


def candidates_of(catalog: Catalog, state: JourneyState, eligible: Sequence[AskId]) -> Candidates:
    """One group of candidates, without features."""
    position = catalog.position
    rows = {ask_id: row for row, ask_id in enumerate(eligible)}
    baseline = baseline_ask(catalog, state, rows)
    return Candidates(
        offsets=np.array((0, len(eligible)), dtype=np.int64),
        asks=np.array([NOTHING if ask_id is None else position[ask_id] for ask_id in eligible], dtype=np.int64),
        baseline=np.array((-1 if baseline is None else rows[baseline],), dtype=np.int64),
        direct=np.array((rows.get(catalog.goal, -1),), dtype=np.int64),
    )


def distribution_over(weighed: Weighed) -> FloatArray:
    """The probabilities as an array, shape (number of eligible asks,)."""
    return np.array(weighed.probabilities)


def _only_effort_blocks(live: LiveJourney, situation: Situation) -> bool:
    blocks = live.guards.all_blocks(live.catalog.goal_ask, situation)
    return all(block.guardrail in live.guards.effort_rules for block in blocks)


def _answers_nothing(catalog: Catalog, state: JourneyState, serve: Served, asks: Sequence[AskId]) -> bool:
    if not isinstance(serve.policy, Always):
        return False
    match serve.policy.what:
        case "none":
            return True
        case "direct":
            return catalog.goal not in asks
        case _:
            return baseline_ask(catalog, state, asks) is None
