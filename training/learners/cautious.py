"""The cautious variant of planned Q: it leaves what is live only where the predicted gain is large.

A log can seldom certify a policy that differs from it everywhere: weights multiply and the effective sample is gone.
A policy that follows the incumbent but where much is to be gained keeps most of the log's evidence. With nobody live
but the baseline, the incumbent's ask is the baseline's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policy.boosted import BoostedScorer
from policy.cautious import CautiousScorer
from training.learners.protocol import Learned, Lessons
from training.learners.registry import learn


@dataclass(frozen=True)
class Cautious:
    """See the module docstring; ``margin`` is the smallest relative gain that makes it leave the incumbent."""

    margin: float = 0.3
    name: ClassVar[str] = "cautious"

    def fit(self, lessons: Lessons) -> Learned:
        """Wraps what planned Q learned; see ``Learner``."""
        planned = learn("planned", lessons)
        inner = planned.scorer
        if not isinstance(inner, BoostedScorer):
            raise TypeError(f"planned Q makes boosted scorers; received {type(inner).__name__}")
        return Learned(CautiousScorer(inner, lessons.incumbent, self.margin), {**planned.facts, "margin": self.margin})
