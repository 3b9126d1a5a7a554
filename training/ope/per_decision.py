"""Per-decision importance sampling: every reward weighted by the ratios up to its own step.

Reference: D. Precup, R. S. Sutton, S. Singh (2000), Eligibility traces for off-policy policy evaluation. ICML.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.ope.logged import FloatArray
from training.ope.terms import Control, NoEstimateError, Terms, centered, require_matched, return_span
from training.ope.weights import Weighted


@dataclass(frozen=True)
class PerDecisionImportance:
    """``sum_t g^t mean(w_t r_t)``; self-normalized, each mean is divided by the mean of ``w_t`` over all episodes.

    Example:
        >>> PerDecisionImportance("pdis").is_self_normalized
        False
    """

    name: str
    is_self_normalized: bool = False
    needs_values: bool = False
    is_one_step: bool = False

    def terms(self, log: Weighted) -> Terms:
        """Takes the estimate apart; see ``Estimator``."""
        require_matched(log)
        rows = log.decay * log.w * log.steps.reward
        x = log.per_episode(rows)
        value, influence = float(x.sum() / len(x)), x
        if self.is_self_normalized:
            require_followed(log)
            paid = log.per_step(rows) / log.mean_at
            value = float(paid.sum() / len(x))
            influence = log.per_episode(rows / log.mean_at[log.steps.step])
            influence = influence - log.carried(paid / log.mean_at / len(x))
        paying, pays_return = reward_control(log)
        return Terms(value, x, centered(influence), (paying,), np.zeros_like(x), return_span(log), pays_return)


def is_paid_at_the_end(log: Weighted) -> bool:
    """Whether every reward sits on the last step of its episode: then it is the return, with the final weight."""
    is_last = log.steps.step == log.last[log.steps.episode]
    return not log.steps.reward[~is_last].any()


def require_followed(log: Weighted) -> None:
    """Makes sure that at every step some episode still follows the target policy.

    Raises:
        NoEstimateError: from some step on all weights are 0, and there is nothing to normalize by.
    """
    empty = np.flatnonzero(log.mean_at <= 0)
    if empty.size:
        raise NoEstimateError(
            f"no estimate: at step {empty[0]} no logged episode follows the target policy any more, "
            "so there is no weight to normalize by"
        )


def reward_control(log: Weighted) -> tuple[Control, bool]:
    """The weight that bounds ``sum_t g^t w_t r_t``, and whether that sum is the return times this weight."""
    if is_paid_at_the_end(log):
        return Control(log.final, float(log.largest_at[-1]), *return_span(log)), True
    rewards = log.decay * log.steps.reward
    return control(log, rewards, rewards), False


def control(log: Weighted, low_rows: FloatArray, high_rows: FloatArray) -> Control:
    """A weight of mean 1 that bounds ``sum_t w_t y_t`` for rows ``y`` between ``low_rows`` and ``high_rows``.

    With shares ``c_t`` proportional to the largest ``|y|`` at step t, ``sum_t w_t y_t`` lies between ``D_low`` and
    ``D_high`` times ``sum_t c_t w_t``, where ``D = extreme over t of (extreme y at t) / c_t``.
    """
    low, high = np.zeros(log.steps.n_steps), np.zeros(log.steps.n_steps)
    np.minimum.at(low, log.steps.step, low_rows)
    np.maximum.at(high, log.steps.step, high_rows)
    sizes = np.maximum(-low, high)
    total = float(sizes.sum())
    if total <= 0:
        return Control(log.final, float(log.largest_at[-1]), 0.0, 0.0)
    shares = sizes / total
    at = shares > 0
    largest = float(shares @ log.largest_at) if (log.largest_at != 1).any() else 1.0
    return Control(
        log.carried(shares), largest, float((low[at] / shares[at]).min()), float((high[at] / shares[at]).max())
    )
