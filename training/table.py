"""The steps of a log as learners and judges see them: what was known, what could be asked, what was asked, what came.

Everything is an array over steps, sorted by episode; features are made from it by the columns that serving uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from data.domain import Catalog
from data.episodes import Episodes, episodes_of
from features.columns import FloatArray, Given
from features.frames import encode_frame
from features.lowering import lower
from features.matrix import FeatureColumns
from features.spec import FeatureSpec
from features.successors import ACCEPTED, DECLINED, SILENT
from features.summary import IntArray, Summary
from policy.baseline import baseline_asks
from policy.candidates import NOTHING, Candidates
from policy.crowd import BoolArray, Crowd
from policy.guardrails.registry import compile_guards, eligible_mask

if TYPE_CHECKING:
    from data.arrivals import Arrivals

PENDING: Final = 3
"""The answer of a step that may still be answered."""
UNKNOWN_ASK: Final = -2
"""Index of an ask that the catalog does not have (any more)."""
_ANSWERS: Final[Mapping[str, int]] = {
    "accepted": ACCEPTED,
    "declined": DECLINED,
    "ignored": SILENT,
    "pending": PENDING,
}


@dataclass(frozen=True, eq=False)
class Table:
    """n steps of E episodes under a catalog of A asks.

    Attributes:
        catalog: the journey.
        episodes: the episodes that the steps belong to.
        decisions: the steps' ``shown`` rows of the log: context, answers, channel.
        crowd: what guardrails and features know of the steps: states, instants, context.
        allowed: shape (n, A); what today's guardrails would allow.
        candidates: what could be shown: the logged ``eligible`` where it is known, else what guardrails allow. Asks
            that the catalog does not have are left out.
        shown: shape (n,); the row of the shown ask among the candidates, -1 where it is not there.
        asks: shape (n,); index of the shown ask, ``NOTHING`` or ``UNKNOWN_ASK``.
        propensity: shape (n,); NaN where unknown.
        answers: shape (n,); ``ACCEPTED``, ``DECLINED``, ``SILENT`` or ``PENDING``.
        answered_at: shape (n,); when the answer came; the decision's time where none did.
        episode: shape (n,); row of ``episodes.episodes``.
    """

    catalog: Catalog
    episodes: Episodes
    decisions: pl.DataFrame
    crowd: Crowd
    allowed: BoolArray
    candidates: Candidates
    shown: IntArray
    asks: IntArray
    propensity: FloatArray
    answers: IntArray
    answered_at: IntArray
    episode: IntArray

    def __len__(self) -> int:
        return len(self.asks)

    @property
    def steps(self) -> pl.DataFrame:
        """The steps' rows of ``episodes.steps``."""
        return self.episodes.steps

    @property
    def n_episodes(self) -> int:
        """Number of episodes."""
        return self.episodes.episodes.height

    @cached_property
    def next_step(self) -> IntArray:
        """The following step of the same episode, -1 for an episode's last, shape (n,)."""
        following = np.full(len(self), -1)
        if len(self):
            follows = self.episode[1:] == self.episode[:-1]
            following[:-1][follows] = np.arange(1, len(self))[follows]
        return following

    @cached_property
    def is_learnable(self) -> BoolArray:
        """Episodes that may be learned from, shape (E,)."""
        return self.episodes.episodes["learn"].to_numpy()

    @cached_property
    def is_mature(self) -> BoolArray:
        """Episodes whose reward is final, shape (E,)."""
        return self.episodes.episodes["is_mature"].to_numpy()

    @cached_property
    def rewards(self) -> FloatArray:
        """Rewards of the episodes, shape (E,); final where mature."""
        return self.episodes.episodes["reward"].to_numpy()

    def of(self, episodes: BoolArray) -> Table:
        """The steps of the chosen episodes, shape (E,); episodes keep their numbers."""
        rows = np.flatnonzero(episodes[self.episode])
        candidates = self.candidates
        is_kept = episodes[self.episode][candidates.groups]
        moved = np.append(np.cumsum(is_kept) - 1, -1)  # the last one is for -1: no such row
        return replace(
            self,
            episodes=replace(self.episodes, steps=self.steps[rows]),
            decisions=self.decisions[rows],
            crowd=self.crowd.take(rows),
            allowed=self.allowed[rows],
            candidates=Candidates(
                np.concatenate([[0], np.cumsum(candidates.sizes[rows])]),
                candidates.asks[is_kept],
                moved[candidates.baseline[rows]],
                moved[candidates.direct[rows]],
            ),
            shown=moved[self.shown[rows]],
            asks=self.asks[rows],
            propensity=self.propensity[rows],
            answers=self.answers[rows],
            answered_at=self.answered_at[rows],
            episode=self.episode[rows],
        )

    def given(self, spec: FeatureSpec) -> Given:
        """Context and answers in a spec's encoding."""
        return encode_frame(spec, self.decisions)

    def features(self, spec: FeatureSpec, rows: IntArray | None = None) -> FloatArray:
        """Features of the shown asks, shape (len(rows), number of columns); rows of unknown asks mean nothing."""
        chosen = np.arange(len(self)) if rows is None else rows
        asks = np.maximum(self.asks[chosen], NOTHING)
        offsets = np.arange(len(chosen) + 1)
        columns = FeatureColumns(spec, self.catalog)
        return columns.matrix(self.crowd.summary.take(chosen), self.given(spec).take(chosen), offsets, asks)

    def candidates_with_features(self, spec: FeatureSpec, given: Given | None = None) -> Candidates:
        """The candidates with their features in a spec's encoding."""
        known = self.given(spec) if given is None else given
        columns = FeatureColumns(spec, self.catalog)
        plain = self.candidates
        features = columns.matrix(self.crowd.summary, known, plain.offsets, plain.asks)
        return Candidates(plain.offsets, plain.asks, plain.baseline, plain.direct, features)


def table_of(arrivals: Arrivals, catalog: Catalog, *, now: int, threads: int = 1) -> Table:
    """The learning table of a log.

    Args:
        arrivals: the log of the catalog's journey, arranged.
        catalog: the journey.
        now: the moment as of which episodes are described, in microseconds.
        threads: how many blocks of visitors are worked on at once.
    """
    episodes = episodes_of(arrivals, catalog, now=now)
    lowered = lower(arrivals, catalog, threads=threads)
    steps = episodes.steps
    orders = steps["order"].to_numpy()
    summary = lowered.summary.take(np.searchsorted(lowered.order, orders))
    decisions = arrivals.frame[orders] if len(orders) else arrivals.frame.clear()
    crowd = Crowd.from_frame(decisions, summary, catalog)
    allowed = eligible_mask(compile_guards(catalog), crowd)
    asks = _ask_indices(steps["ask_id"], catalog)
    candidates = candidates_of(catalog, summary, _possible(steps, allowed, asks, catalog))
    answered_at = pl.coalesce(pl.col("answered_at"), pl.col("at")).cast(pl.Int64)
    return Table(
        catalog=catalog,
        episodes=episodes,
        decisions=decisions,
        crowd=crowd,
        allowed=allowed,
        candidates=candidates,
        shown=row_of(candidates, asks),
        asks=asks,
        propensity=steps["propensity"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        answers=steps["answer"].replace_strict(_ANSWERS, return_dtype=pl.Int64).to_numpy(),
        answered_at=steps.select(answered_at).to_series().to_numpy(),
        episode=np.searchsorted(episodes.episodes["episode_id"].to_numpy(), steps["episode_id"].to_numpy()),
    )


def candidates_of(catalog: Catalog, summary: Summary, possible: BoolArray) -> Candidates:
    """Candidates of n decisions from a mask of shape (n, A + 1), whose last column is asking nothing.

    A decision for which nothing at all is possible gets the null candidate: no group is empty.
    """
    possible = possible.copy()
    possible[~possible.any(axis=1), -1] = True
    groups, columns = np.nonzero(possible)
    n_asks = possible.shape[1] - 1
    offsets = np.concatenate([[0], np.cumsum(possible.sum(axis=1))])
    plain = Candidates(offsets, np.where(columns == n_asks, NOTHING, columns), groups[:0], groups[:0])
    goal = np.full(len(possible), catalog.position[catalog.goal])
    baseline = baseline_asks(catalog, summary, possible[:, :-1])
    return Candidates(
        plain.offsets,
        plain.asks,
        np.where(baseline == NOTHING, -1, row_of(plain, baseline)),
        row_of(plain, goal),
    )


def row_of(candidates: Candidates, asks: npt.NDArray[np.int64]) -> IntArray:
    """The row of one ask a group, -1 where it is no candidate, shape (n,)."""
    rows = np.full(len(candidates.offsets) - 1, -1)
    groups = candidates.groups
    is_it = candidates.asks == asks[groups]
    rows[groups[is_it]] = np.flatnonzero(is_it)
    return rows


def _possible(steps: pl.DataFrame, allowed: BoolArray, asks: IntArray, catalog: Catalog) -> BoolArray:
    """What could be shown, shape (n, A + 1); the last column is asking nothing."""
    n = steps.height
    possible = np.zeros((n, len(catalog.asks) + 1), dtype=np.bool_)
    is_known = steps["eligible"].is_not_null().to_numpy()
    possible[~is_known, :-1] = allowed[~is_known]
    possible[~is_known, -1] = catalog.allow_nothing
    lists = steps["eligible"].filter(pl.Series(is_known, dtype=pl.Boolean))
    sizes = lists.list.len().to_numpy()
    groups = np.repeat(np.flatnonzero(is_known), sizes)
    names = lists.explode() if len(groups) else pl.Series([], dtype=pl.String)
    columns = _ask_indices(names, catalog)
    is_ours = columns != UNKNOWN_ASK
    possible[groups[is_ours], columns[is_ours]] = True  # NOTHING is -1: the last column
    # What was shown could be shown, whatever the log says.
    is_ours = asks != UNKNOWN_ASK
    possible[np.flatnonzero(is_ours), asks[is_ours]] = True
    return possible


def _ask_indices(names: pl.Series, catalog: Catalog) -> IntArray:
    """Indices into the catalog's asks; null is ``NOTHING``, a name it does not have ``UNKNOWN_ASK``."""
    found = names.cast(pl.Enum(list(catalog.position)), strict=False).to_physical().cast(pl.Int64)
    is_null = names.is_null().to_numpy()
    return np.where(is_null, NOTHING, found.fill_null(UNKNOWN_ASK).to_numpy())
