"""Doubly robust estimators: a prediction, corrected by weighted surprises.

References:
    N. Jiang, L. Li (2016), Doubly robust off-policy value evaluation for reinforcement learning. ICML.
    P. Thomas, E. Brunskill (2016), Data-efficient off-policy policy evaluation for reinforcement learning. ICML.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.ope.logged import FloatArray
from training.ope.per_decision import control, require_followed, reward_control
from training.ope.terms import NoEstimateError, Terms, centered, require_matched, return_span
from training.ope.weights import Weighted


@dataclass(frozen=True)
class DirectMethod:
    """``mean(V(step 0))``: the prediction itself, undiscounted, uncorrected.

    Its spread over episodes says nothing about how wrong the prediction is, so it has no interval.
    """

    name: str = "dm"
    needs_values: bool = True
    is_one_step: bool = False

    def terms(self, log: Weighted) -> Terms:
        """Takes the estimate apart; see ``Estimator``."""
        _, v = values_of(log)
        x = v[log.steps.step == 0]
        return Terms(float(x.mean()), x, centered(x), (), x, return_span(log))


@dataclass(frozen=True)
class DoublyRobust:
    """``sum_t g^t (w_t (r_t - q_t) + w_{t-1} V_t)``; self-normalized, the means of both parts are divided by theirs.

    The interval writes the same sum as ``V_0 + sum_t g^t w_t r_t + sum_t g^t w_t (g V_{t+1} - q_t)``, so that both
    sums are bounded by weights of mean 1: the rewards by the weights they come with, the predictions by a mean of the
    weights of all steps in proportion to how far predictions can be apart there.
    """

    name: str
    is_self_normalized: bool = False
    needs_values: bool = True
    is_one_step: bool = False

    def terms(self, log: Weighted) -> Terms:
        """Takes the estimate apart; see ``Estimator``."""
        require_matched(log)
        q, v = values_of(log)
        surprise = log.decay * log.w * (log.steps.reward - q)
        predicted = log.decay * log.before * v
        x = log.per_episode(surprise + predicted)
        value, influence = float(x.sum() / len(x)), x
        if self.is_self_normalized:
            require_followed(log)
            value, influence = _self_normalized(log, surprise, predicted)
        paying, pays_return = reward_control(log)
        controls = (paying, control(log, *_prediction_span(log, q, v)))
        start = v[log.steps.step == 0]
        return Terms(value, x, centered(influence), controls, start, return_span(log), pays_return)


def values_of(log: Weighted) -> tuple[FloatArray, FloatArray]:
    """Predicted values of the logged actions and of the steps, (n,) each.

    Raises:
        NoEstimateError: the log has none.
    """
    if log.steps.q is None or log.steps.v is None:
        raise NoEstimateError(
            "no estimate: needs predicted values (columns q_0, q_1, ...), which the log does not have"
        )
    return log.steps.q, log.steps.v


def _prediction_span(log: Weighted, q: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n,) smallest and largest ``g^t (g V_{t+1} - q_t)`` possible at each row: the episode may also have ended."""
    following = np.where(log.steps.step == log.last[log.steps.episode], 0.0, log.discount * np.roll(v, -1))
    seen = following - q
    return log.decay * np.minimum(seen, -q), log.decay * np.maximum(seen, -q)


def _self_normalized(log: Weighted, surprise: FloatArray, predicted: FloatArray) -> tuple[float, FloatArray]:
    """The self-normalized value, and (E,) its linearization."""
    n, mean_before = log.steps.n_episodes, np.append(1.0, log.mean_at[:-1])
    paid, foreseen = log.per_step(surprise) / log.mean_at, log.per_step(predicted) / mean_before
    step = log.steps.step
    rows = surprise / log.mean_at[step] + predicted / mean_before[step]
    pull = (paid + np.append(foreseen[1:], 0.0)) / log.mean_at / n
    return float((paid + foreseen).sum() / n), log.per_episode(rows) - log.carried(pull)
