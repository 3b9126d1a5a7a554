"""What a learner is: it makes a scorer of a log. One file and one line in ``training.learners.registry`` add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from data.domain import DAY
from features.spec import FeatureSpec
from policy.boosted import BoostedScorer
from policy.crowd import BoolArray
from policy.scorers import Scorer
from training.table import Table
from training.trees import Forestry

Progress = Callable[[int, int], None]
"""Told how many parts of the work are done, of how many."""


def quiet(done: int, total: int) -> None:
    """A progress that nobody looks at."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """What a learner may learn from.

    Attributes:
        table: the log; only the chosen parts may be looked at.
        steps: shape (n,); steps whose answers teach.
        episodes: shape (E,); mature episodes whose rewards teach.
        spec: the features' encoding.
        incumbent: the scorer that is live, in the same encoding; ``None``: the baseline.
        seed: of everything random.
        threads: how much may run side by side; no result depends on it.
        progress: told how far the work is.
        learned: what other learners made of these lessons, so that none does the same work twice.
    """

    table: Table
    steps: BoolArray
    episodes: BoolArray
    spec: FeatureSpec
    incumbent: BoostedScorer | None
    seed: int
    threads: int = 1
    progress: Progress = quiet
    learned: dict[str, Learned] = field(default_factory=dict)

    @property
    def forestry(self) -> Forestry:
        """What all trees grown from these lessons have in common."""
        now = self.table.crowd.now
        days = (int(now.max()) - int(now.min())) / DAY if len(now) else 0.0
        return Forestry.of(self.spec, days, self.seed, self.threads)


@dataclass(frozen=True, eq=False)
class Learned:
    """A scorer, and plain facts about how it was made (they end up in the bundle and in the registry)."""

    scorer: Scorer
    facts: Mapping[str, float | int | str]


class Learner(Protocol):
    """Makes a scorer; the same lessons and seed always make the same one."""

    name: ClassVar[str]

    def fit(self, lessons: Lessons) -> Learned:
        """Learns.

        Raises:
            data.errors.BadInput: there is nothing to learn from.
        """
