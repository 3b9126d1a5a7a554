"""A world's probabilities as arrays over the hidden state: what both the exact truth and the driver read.

The hidden state of a visitor of one type is ``h = trust * N_FATIGUE + fatigue``, one of ``N_HIDDEN``. Array axes, in
this order where present: mark set (bit i = mark i of the world), type, ask (catalog order), hidden state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from data.simulator.world import ANSWERS, N_FATIGUE, N_TRUST, World

FloatArray = npt.NDArray[np.float64]
N_HIDDEN: Final = N_TRUST * N_FATIGUE
_TRUST: Final = np.repeat(np.arange(N_TRUST), N_FATIGUE)
_FATIGUE: Final = np.tile(np.arange(N_FATIGUE), N_TRUST)


@dataclass(frozen=True, eq=False)
class Tables:
    """Every probability of a world.

    Attributes:
        start: (types, hidden) share of visitors that arrive so; sums to 1 over everything.
        accept: (marks, types, asks, hidden).
        decline: (types, asks, hidden) a decline instead of silence, given no acceptance.
        trust_up: (asks,) trust rises, given an acceptance.
        trust_down: (asks, hidden) trust falls, given a decline; after silence, ``silence`` times that.
        tire: (types, asks, 2) fatigue rises after [something else, an acceptance].
        stay: (types, answers, hidden) in the order of ``ANSWERS``; hidden is the state after the answer.
        late: (marks, types, hidden) converts after the visit, given that it ended.
        back: (marks, types, hidden) comes back, given that the visit ended without a late conversion.
        after: (answers, types, asks, hidden, hidden) from the state before to the state after the answer; for
            ``nothing`` the asks are all alike.
        between: (hidden, hidden) from the end of a visit to the start of the next.
        until_left: (steps, types, hidden, hidden) from a step of the visit at which, and after which, nothing is asked
            to the moment of leaving.
        signals: (signals, types, trust) seen on a page, in the order of ``world.observation.signals``.
    """

    start: FloatArray
    accept: FloatArray
    decline: FloatArray
    trust_up: FloatArray
    trust_down: FloatArray
    tire: FloatArray
    stay: FloatArray
    late: FloatArray
    back: FloatArray
    after: FloatArray
    between: FloatArray
    until_left: FloatArray
    signals: FloatArray


@lru_cache(maxsize=8)
def tables_of(world: World) -> Tables:
    """The probabilities of a world; computed once."""
    accept, decline, strain = _answers(world)
    trust_up, trust_down = _trust_moves(world, strain)
    tire = _tire(world)
    stay, after = _stay(world), _after(world, trust_up, trust_down, tire)
    start = np.zeros((len(world.types), N_TRUST, N_FATIGUE))
    start[:, :, 0] = [[visitor.share * p for p in visitor.trust] for visitor in world.types]
    return Tables(
        start=start.reshape(-1, N_HIDDEN),
        accept=accept,
        decline=decline,
        trust_up=trust_up,
        trust_down=trust_down,
        tire=tire,
        stay=stay,
        late=_exit(world, world.leaving.late, world.leaving.late_trust, 0.0, world.leaving.late_marks),
        back=_exit(
            world, world.leaving.back, world.leaving.back_trust, world.leaving.back_fatigue, world.leaving.back_marks
        ),
        after=after,
        between=_between(world),
        until_left=_until_left(after, stay, world.leaving.max_steps),
        signals=_signals(world),
    )


def sigmoid(log_odds: FloatArray) -> FloatArray:
    """The probability of given log-odds.

    Example:
        >>> float(sigmoid(np.array(0.0)))
        0.5
    """
    p: FloatArray = 1.0 / (1.0 + np.exp(-log_odds))
    return p


def _mark_bits(world: World) -> FloatArray:
    """(mark sets, marks): which marks each set holds."""
    n = len(world.marks)
    bits: FloatArray = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)
    return bits


def _weights(world: World, by_mark: Mapping[str, float]) -> FloatArray:
    weights: FloatArray = _mark_bits(world) @ np.array([by_mark.get(mark, 0.0) for mark in world.marks])
    return weights


def _answers(world: World) -> tuple[FloatArray, FloatArray, FloatArray]:
    response, asks = world.response, world.catalog.asks
    effort = np.array([ask.effort for ask in asks])
    strain = np.log1p(np.exp(effort[:, None] - np.array(response.comfort)[_TRUST]))
    is_goal = np.array([ask.id == world.catalog.goal for ask in asks])
    liking = np.array([[t.affinity.get(ask.kind, 0.0) for ask in asks] for t in world.types])
    liking += np.array([t.readiness for t in world.types])[:, None] * is_goal
    appeal = np.array([response.appeal.get(ask.id, 0.0) for ask in asks])
    log_odds = (appeal + liking)[:, :, None] - response.strain * strain - response.fatigue * _FATIGUE
    lift = _weights(world, response.marks)[:, None, None, None] * is_goal[:, None]
    accept = sigmoid(log_odds + lift)
    accept[:, :, [ask.id in response.never for ask in asks]] = 0.0
    decline = sigmoid(response.decline + response.decline_strain * strain)
    return accept, np.broadcast_to(decline, (len(world.types), *decline.shape)), strain


def _trust_moves(world: World, strain: FloatArray) -> tuple[FloatArray, FloatArray]:
    dynamics = world.dynamics
    gives = np.array([ask.gives for ask in world.catalog.asks])
    trust_up = sigmoid(dynamics.trust_up + dynamics.trust_up_gives * gives)
    return trust_up, sigmoid(dynamics.trust_down + dynamics.trust_down_strain * strain)


def _tire(world: World) -> FloatArray:
    dynamics = world.dynamics
    effort = np.array([ask.effort for ask in world.catalog.asks])
    patience = np.array([t.patience for t in world.types])
    log_odds = dynamics.tire + dynamics.tire_effort * effort - patience[:, None]
    return sigmoid(np.stack([log_odds, log_odds - dynamics.relief], axis=-1))


def _stay(world: World) -> FloatArray:
    leaving = world.leaving
    patience = np.array([t.patience for t in world.types])
    answers = np.array([leaving.stay_answer.get(answer, 0.0) for answer in ANSWERS])
    mood = leaving.stay + leaving.stay_trust * _TRUST - leaving.stay_fatigue * _FATIGUE
    return sigmoid(patience[:, None, None] + answers[:, None] + mood)


def _exit(world: World, base: float, trust: float, fatigue: float, marks: Mapping[str, float]) -> FloatArray:
    mood = base + trust * _TRUST - fatigue * _FATIGUE
    log_odds = _weights(world, marks)[:, None, None] + mood
    return sigmoid(np.broadcast_to(log_odds, (len(log_odds), len(world.types), N_HIDDEN)))


def _after(world: World, trust_up: FloatArray, trust_down: FloatArray, tire: FloatArray) -> FloatArray:
    dynamics = world.dynamics
    n_types, n_asks = tire.shape[:2]
    by_level = trust_down[:, ::N_FATIGUE]
    up = np.broadcast_to(trust_up[:, None], by_level.shape)
    never = np.zeros_like(by_level)
    rest = np.full(N_FATIGUE, dynamics.rest)
    after = np.empty((4, n_types, n_asks, N_HIDDEN, N_HIDDEN))
    for t in range(n_types):
        for a in range(n_asks):
            tired = _steps(np.full(N_FATIGUE, tire[t, a, 0]), np.zeros(N_FATIGUE))
            eased = _steps(np.full(N_FATIGUE, tire[t, a, 1]), np.zeros(N_FATIGUE))
            after[0, t, a] = np.kron(_steps(up[a], never[a]), eased)
            after[1, t, a] = np.kron(_steps(never[a], by_level[a]), tired)
            after[2, t, a] = np.kron(_steps(never[a], dynamics.silence * by_level[a]), tired)
            after[3, t, a] = np.kron(np.eye(N_TRUST), _steps(np.zeros(N_FATIGUE), rest))
    return after


def _steps(up: FloatArray, down: FloatArray) -> FloatArray:
    """Transitions of a level that rises or falls by one with the given probabilities and stays at its ends."""
    n = len(up)
    moves = np.zeros((n, n))
    for i in range(n):
        moves[i, min(i + 1, n - 1)] += up[i]
        moves[i, max(i - 1, 0)] += down[i]
        moves[i, i] += 1.0 - up[i] - down[i]
    return moves


def _between(world: World) -> FloatArray:
    recovered = np.zeros((N_FATIGUE, N_FATIGUE))
    for level in range(N_FATIGUE):
        recovered[level, max(0, level - world.dynamics.recovery)] = 1.0
    forgotten = _steps(np.zeros(N_TRUST), np.full(N_TRUST, world.dynamics.forget))
    return np.asarray(np.kron(forgotten, recovered), np.float64)


def _signals(world: World) -> FloatArray:
    readiness = np.array([visitor.readiness for visitor in world.types])[:, None]
    log_odds = [
        rate.base + rate.trust * np.arange(N_TRUST) + rate.readiness * readiness
        for rate in world.observation.signals.values()
    ]
    return sigmoid(np.array(log_odds).reshape(-1, len(world.types), N_TRUST))


def _until_left(after: FloatArray, stay: FloatArray, n_steps: int) -> FloatArray:
    moved, stays = after[ANSWERS.index("nothing"), :, 0], stay[:, ANSWERS.index("nothing"), None]
    left = [moved]
    for _ in range(n_steps - 1):
        left.append(moved * (1.0 - stays) + (moved * stays) @ left[-1])
    return np.array(left[::-1])
