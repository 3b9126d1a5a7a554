"""A scorer that leaves what is done now only where much is to be gained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from data.domain import Catalog
from policy.boosted import BoostedScorer, boosted_from_files
from policy.candidates import Candidates, FloatArray, IntArray
from policy.scorers import Scores
from policy.segments import Segments
from policy.strict_json import dump_object, parse_object

FORMAT: Final = 1
_CAUTIOUS: Final = "cautious.json"
_INCUMBENT: Final = "incumbent."
_LEAD: Final = 1e-9
"""How far the incumbent's ask is put above the best one, as a share of what explorers divide gaps by."""


@dataclass(frozen=True)
class CautiousScorer:
    """The values of a scorer, but the incumbent's ask stays on top where not enough is to be gained.

    With the scorer's values ``q``, the incumbent's ask ``b`` of a group is raised above the others unless::

        max_a q(a) > q(b)  and  max_a q(a) - q(b) >= margin * |q(b)|

    A policy that differs from the incumbent in few decisions can be judged from the incumbent's log: the weights of
    an off-policy estimate stay near 1. Elsewhere, and where the group has no ask of the incumbent, the values are
    the inner scorer's, and acceptances always are.

    A raised value is just above the best, by 1e-9 of what inverse-gap weighting divides gaps by, so that the other
    asks have the gaps of a group in which the incumbent's ask is as good as the best. Only where all others are worth
    0 is that impossible: there the raised ask is the only one of any value.

    Attributes:
        inner: what is believed about the asks.
        incumbent: the scorer whose best ask (the first in a tie) is kept; ``None`` for the baseline's ask. Both
            scorers read the same feature columns.
        margin: least gain, relative to the value of the incumbent's ask; 0.1 to 0.3 is usual.

    Raises:
        ValueError: the margin is negative or no number, or the scorers are of different columns.
    """

    inner: BoostedScorer
    incumbent: BoostedScorer | None
    margin: float
    name: ClassVar[str] = "cautious"
    uses_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        is_number = isinstance(self.margin, (int, float)) and not isinstance(self.margin, bool)
        if not (is_number and 0.0 <= self.margin <= 1e9):
            raise ValueError(f"margin must be a number from 0 to 1e9; received {self.margin!r}")
        if self.incumbent is not None and self.incumbent.n_features != self.inner.n_features:
            raise ValueError(
                f"the incumbent has {self.incumbent.n_features} features; allowed: {self.inner.n_features}, "
                "as both read the same columns"
            )

    def score(self, candidates: Candidates) -> Scores:
        """The inner scores, with the incumbent's ask raised; see ``Scorer``."""
        scores = self.inner.score(candidates)
        segments = Segments.of(candidates)
        kept = self._incumbent_rows(candidates, segments)
        return Scores(raised(scores.values, kept, self.margin, segments), scores.p_accepts)

    def for_catalog(self, catalog: Catalog) -> CautiousScorer:  # noqa: ARG002
        """Itself: features know the asks; see ``Scorer``."""
        return self

    def to_files(self) -> Mapping[str, bytes]:
        """The inner scorer's files, and the incumbent's with a prefix; see ``Scorer``."""
        content = {"format": FORMAT, "margin": float(self.margin), "has_incumbent": self.incumbent is not None}
        incumbent = {} if self.incumbent is None else self.incumbent.to_files()
        prefixed = {_INCUMBENT + name: content for name, content in incumbent.items()}
        return {**self.inner.to_files(), **prefixed, _CAUTIOUS: dump_object(content)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], catalog: Catalog) -> CautiousScorer:  # noqa: ARG003
        """See ``ScorerLoader``."""
        try:
            content = parse_object(files[_CAUTIOUS])
        except ValueError as error:
            raise ValueError(f"{_CAUTIOUS}: {error}") from None
        if content.keys() != {"format", "margin", "has_incumbent"} or content["format"] != FORMAT:
            raise ValueError(f"{_CAUTIOUS}: is not of format {FORMAT}, with margin and has_incumbent: {content}")
        if not isinstance(content["has_incumbent"], bool):
            raise ValueError(f"{_CAUTIOUS}: has_incumbent must be true or false; received {content['has_incumbent']!r}")
        incumbent = boosted_from_files(files, _INCUMBENT) if content["has_incumbent"] else None
        return cls(boosted_from_files(files, ""), incumbent, content["margin"])  # type: ignore[arg-type]

    def _incumbent_rows(self, candidates: Candidates, segments: Segments) -> IntArray:
        """The row of the incumbent's ask in each group, -1 where it has none, shape (n,)."""
        if self.incumbent is None:
            return candidates.baseline
        values = self.incumbent.values(candidates)
        return segments.first_rows(values == segments.maxima(values)[segments.groups])


def raised(values: FloatArray, rows: IntArray, margin: float, segments: Segments) -> FloatArray:
    """Values with one row of each group put above the others, unless the best gains at least the margin over it.

    Args:
        values: shape (m,), finite.
        rows: the row of each group that is to be kept, -1 for none, shape (n,).
        margin: least gain, relative to the size of that row's value.
        segments: the groups.

    Example:
        >>> groups = Candidates(np.array([0, 2, 4]), np.array([0, 1, 0, 1]), np.array([0, 2]), np.array([-1, -1]))
        >>> values = np.array([0.10, 0.11, 0.10, 0.15])
        >>> raised(values, groups.baseline, 0.2, Segments.of(groups)) > values
        array([ True, False, False, False])
    """
    has_row = rows >= 0
    kept = rows[has_row]
    best = segments.maxima(values)
    own, top = values[kept], best[has_row]
    is_left = (top > own) & (top - own >= margin * np.abs(own))
    is_first = segments.first_rows(values == best[segments.groups])[has_row] == kept
    changed = values.copy()
    changed[kept] = top
    worst = segments.minima(changed)[has_row]
    scale = np.where(worst < 0.0, top - worst, top)
    scale[scale == 0.0] = 1.0
    above = np.maximum(top + _LEAD * scale, np.nextafter(top, np.inf))
    changed[kept] = np.where(is_left | is_first, own, above)
    return changed
