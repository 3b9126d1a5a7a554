"""What decides: candidates in, a probability for every one of them out.

The service and the evaluation of a log call the same ``distribution``; one request is a batch of one group, and no
group's probabilities depend, to the last bit, on what else is in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from data.domain import Catalog
from policy.candidates import NOTHING, Candidates, FloatArray, IntArray
from policy.explorers import Explorer
from policy.scorers import Scorer, Scores
from policy.segments import Segments


@dataclass(frozen=True, slots=True)
class Distribution:
    """A probability for every row, summing to 1 in each group; ``scores`` where a model was asked."""

    probabilities: FloatArray
    scores: Scores | None = None


class Policy(Protocol):
    """Decides how likely each candidate is drawn."""

    def distribution(self, candidates: Candidates) -> Distribution:
        """The distribution over the candidates of every group.

        Raises:
            ValueError: the candidates cannot be weighed.
        """

    def for_catalog(self, catalog: Catalog) -> Policy:
        """The same policy for candidates of another catalog, whose asks stand elsewhere or are new."""


@dataclass(frozen=True, slots=True)
class Model:
    """A scorer and an explorer: what a trained policy is."""

    scorer: Scorer
    explorer: Explorer

    def distribution(self, candidates: Candidates) -> Distribution:
        """Explores around the best scored candidate; see ``Policy``."""
        scores = self.scorer.score(candidates)
        return Distribution(self.explorer.probabilities(scores.values, candidates), scores)

    def for_catalog(self, catalog: Catalog) -> Model:
        """The scorer may know asks by their place, and how much to explore is the catalog's to say; see ``Policy``."""
        return Model(self.scorer.for_catalog(catalog), self.explorer.under(catalog.exploration))


@dataclass(frozen=True, slots=True)
class DayZero:
    """The baseline's ask, apart from a ``share`` of probability spread evenly; where it has none, evenly.

    Example:
        >>> pair = Candidates(np.array([0, 2]), np.array([0, 1]), np.array([1]), np.array([-1]))
        >>> DayZero(share=0.5).distribution(pair).probabilities
        array([0.25, 0.75])
    """

    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share must be from 0 to 1; received {self.share}")

    def distribution(self, candidates: Candidates) -> Distribution:
        """See ``Policy``."""
        segments = Segments.of(candidates)
        has_baseline, rows = _checked_rows(candidates.baseline, segments)
        each = np.where(has_baseline, self.share, 1.0) / segments.sizes
        return Distribution(segments.fill(each[segments.groups], rows))

    def for_catalog(self, catalog: Catalog) -> DayZero:  # noqa: ARG002
        """Itself: it knows no ask; see ``Policy``."""
        return self


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every candidate evenly."""

    def distribution(self, candidates: Candidates) -> Distribution:
        """See ``Policy``."""
        segments = Segments.of(candidates)
        return Distribution((1.0 / segments.sizes)[segments.groups])

    def for_catalog(self, catalog: Catalog) -> Uniform:  # noqa: ARG002
        """Itself: it knows no ask; see ``Policy``."""
        return self


@dataclass(frozen=True, slots=True)
class Always:
    """One candidate for certain: the baseline's ask, the goal ask, or nothing; nothing where the ask is not there.

    Example:
        >>> pair = Candidates(np.array([0, 2]), np.array([4, NOTHING]), np.array([-1]), np.array([0]))
        >>> Always("baseline").distribution(pair).probabilities, Always("direct").distribution(pair).probabilities
        (array([0., 1.]), array([1., 0.]))
    """

    what: Literal["baseline", "direct", "none"]

    def distribution(self, candidates: Candidates) -> Distribution:
        """See ``Policy``; an error also where nothing is to be asked but is no candidate."""
        segments = Segments.of(candidates)
        rows = _rows_of_nothing(candidates, segments)
        if self.what != "none":
            has_ask, ask_rows = _checked_rows(getattr(candidates, self.what), segments)
            rows[has_ask] = ask_rows
        if len(rows) and rows.min() < 0:
            group = int(rows.argmin())
            raise ValueError(f"{self.what} asks nothing in group {group}, where asking nothing is no candidate")
        probabilities = np.zeros(len(candidates.asks))
        probabilities[rows] = 1.0
        return Distribution(probabilities)

    def for_catalog(self, catalog: Catalog) -> Always:  # noqa: ARG002
        """Itself: it knows no ask; see ``Policy``."""
        return self


def _rows_of_nothing(candidates: Candidates, segments: Segments) -> IntArray:
    """The row of the null candidate in each group, -1 where there is none."""
    rows = np.full(len(segments.starts), -1)
    nothing = (candidates.asks == NOTHING).nonzero()[0]
    rows[segments.groups[nothing]] = nothing
    return rows


def _checked_rows(rows: IntArray, segments: Segments) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """Which groups have such a row, and the rows of those that do."""
    has_row = rows >= 0
    present = rows[has_row]
    if len(rows) != len(segments.starts) or (segments.groups[present] != has_row.nonzero()[0]).any():
        raise ValueError(f"rows must be one a group and lie in their group, or be -1; received {rows}")
    return has_row, present
