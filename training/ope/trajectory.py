"""Trajectory-wise importance sampling: the whole return, weighted by the whole episode's ratio.

Reference: D. Precup, R. S. Sutton, S. Singh (2000), Eligibility traces for off-policy policy evaluation. ICML.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.ope.terms import Control, Terms, centered, require_matched, return_span
from training.ope.weights import Weighted


@dataclass(frozen=True)
class TrajectoryImportance:
    """``mean(w_T R)``, or self-normalized ``sum(w_T R) / sum(w_T)``, with R the discounted return.

    Example:
        >>> TrajectoryImportance("sntis", is_self_normalized=True).needs_values
        False
    """

    name: str
    is_self_normalized: bool = False
    needs_values: bool = False
    is_one_step: bool = False

    def terms(self, log: Weighted) -> Terms:
        """Takes the estimate apart; see ``Estimator``."""
        require_matched(log, is_trajectory=True)
        x = log.final * log.returns()
        value = float(x.sum() / (log.final.sum() if self.is_self_normalized else len(x)))
        influence = (x - value * log.final) / log.final.mean() if self.is_self_normalized else x
        span = return_span(log)
        control = Control(log.final, float(log.largest_at[-1]), *span)
        return Terms(value, x, centered(influence), (control,), np.zeros_like(x), span, pays_return=True)
