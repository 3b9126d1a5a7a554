"""Looking ahead: every ask that is possible in a state, both answers, and the state each of them leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from features.columns import FloatArray
from features.successors import ACCEPTED, DECLINED, SILENT, successors
from features.summary import IntArray
from policy.candidates import NOTHING, Candidates
from policy.crowd import BoolArray
from policy.guardrails.registry import Guards, eligible_mask
from training.learners.donors import RETURNS, STAYS, Donors, aftermath
from training.learners.joining import joined
from training.learners.logits import TermArray, Terms
from training.learners.responses import Encoded, Responses, after_answer, state_features
from training.learners.states import States
from training.learners.telling import Telling
from training.table import candidates_of

_MUCH: Final = 0.15
"""A continuation at least this likely is always followed."""


@dataclass(frozen=True, eq=False)
class Choices:
    """The candidates of some states.

    Attributes:
        candidates: m rows of n groups.
        features: shape (m, number of columns), or no row where only terms are wanted.
        terms: shape (m, number of terms); see ``logits``.
        has_ask: shape (n,); false where guardrails leave nothing.
    """

    candidates: Candidates
    features: FloatArray
    terms: TermArray
    has_ask: BoolArray


@dataclass(frozen=True, eq=False)
class Followed:
    """A sample of a branch's rows, those that weigh more rather than others.

    Attributes:
        rows: shape (f,); rows of the branch.
        weights: shape (f,); 1 / the probability of having been followed.
        choices: the choices at the f next decisions.
    """

    rows: IntArray
    weights: FloatArray
    choices: Choices


@dataclass(frozen=True, eq=False)
class Branch:
    """What follows one answer to each of m root rows.

    Attributes:
        rows: shape (b,); the root rows it is about.
        stays: shape (b,); probability of another decision in this visit.
        returns: shape (b,); of coming back, given that the visit is over.
        exits: shape (b,); what the episode is worth given that nobody comes back.
        stay: those followed to their next decision in this visit.
        back: those followed to their next visit.
    """

    rows: IntArray
    stays: FloatArray
    returns: FloatArray
    exits: FloatArray
    stay: Followed
    back: Followed


@dataclass(frozen=True, eq=False)
class Tree:
    """One step ahead of some states.

    Attributes:
        choices: the roots' candidates, m rows.
        p_accepts: shape (m,).
        earns: shape (m,); what an acceptance is worth at once.
        accepted: what follows acceptances; the goal's are not in it, as they end the episode.
        refused: what follows when it is not accepted.
    """

    choices: Choices
    p_accepts: FloatArray
    earns: FloatArray
    accepted: Branch
    refused: Branch


class _Answered(NamedTuple):
    """Root rows, an answer to each, and its probability."""

    rows: IntArray
    answers: IntArray
    shares: FloatArray


@dataclass(frozen=True, eq=False)
class _After:
    """States right after answers: what was known at the decision and has been told since, and what was answered."""

    told: States
    asks: IntArray
    answers: IntArray
    answered_at: IntArray
    features: FloatArray

    def __len__(self) -> int:
        return len(self.asks)


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that looking ahead needs to know of a site's visitors."""

    guards: Guards
    encoded: Encoded
    responses: Responses
    donors: Donors
    telling: Mapping[str, Telling]
    terms: Terms

    def choices(self, states: States, *, has_features: bool = False) -> Choices:
        """What could be asked in some states."""
        catalog = self.guards.catalog
        possible = np.zeros((len(states), len(catalog.asks) + 1), dtype=np.bool_)
        possible[:, :-1] = eligible_mask(self.guards, states.crowd)
        has_ask = np.asarray(possible.any(axis=1))
        possible[:, -1] = catalog.allow_nothing
        candidates = candidates_of(catalog, states.crowd.summary, possible)
        features = self.encoded.columns.matrix(states.crowd.summary, states.given, candidates.offsets, candidates.asks)
        kept: Any = features.astype(np.float32) if has_features else np.empty((0, features.shape[1]), dtype=np.float32)
        return Choices(candidates, kept, self.terms.of_rows(features), has_ask)

    def expand(self, states: States, rng: np.random.Generator) -> Tree:
        """Looks one step ahead of some states."""
        choices = self.choices(states, has_features=True)
        candidates, features = choices.candidates, choices.features
        is_ask = candidates.asks != NOTHING
        p_accepts = np.where(is_ask, self.responses.accepts.predict(features), 0.0)
        goal = self.guards.catalog.position[self.guards.catalog.goal]
        yes = np.flatnonzero(is_ask & (candidates.asks != goal) & (p_accepts > 0.0))
        everyone = np.arange(len(candidates.asks))
        refusals = self._refusals(features, is_ask, rng)
        accepted = _Answered(yes, np.full(len(yes), ACCEPTED), p_accepts[yes])
        refused = _Answered(everyone, refusals, 1.0 - p_accepts)
        return Tree(
            choices,
            p_accepts,
            self.responses.earns[candidates.asks],
            self._branch(states, choices, accepted, rng),
            self._branch(states, choices, refused, rng),
        )

    def walk(self, states: States, tree: Tree, rows: IntArray, rng: np.random.Generator) -> States:
        """The states that visitors come to next who are asked what those rows of a tree say; fewer than before."""
        candidates, features = tree.choices.candidates, tree.choices.features[rows]
        is_yes = rng.random(len(rows)) < tree.p_accepts[rows]
        refusals = self._refusals(features, candidates.asks[rows] != NOTHING, rng)
        is_over = is_yes & (candidates.asks[rows] == self.guards.catalog.position[self.guards.catalog.goal])
        answered = _Answered(
            rows[~is_over], np.where(is_yes, ACCEPTED, refusals)[~is_over], np.ones(int((~is_over).sum()))
        )
        after = self._after(states, tree.choices, answered, rng)
        stays = rng.random(len(after)) < self.responses.stays.predict(after.features)
        comes = ~stays & (rng.random(len(after)) < self.responses.returns.predict(after.features))
        parts = [
            self._next(after, kind, np.flatnonzero(them), rng) for kind, them in ((STAYS, stays), (RETURNS, comes))
        ]
        return joined(parts)

    def _refusals(self, features: FloatArray, is_ask: BoolArray, rng: np.random.Generator) -> IntArray:
        """What it is when it is no acceptance."""
        p_declines = self.responses.declines.predict(features)
        return np.where(is_ask & (rng.random(len(p_declines)) < p_declines), DECLINED, SILENT)

    def _branch(self, states: States, choices: Choices, answered: _Answered, rng: np.random.Generator) -> Branch:
        after = self._after(states, choices, answered, rng)
        responses = self.responses
        stays, returns = responses.stays.predict(after.features), responses.returns.predict(after.features)
        followed = []
        for kind, weights in ((STAYS, answered.shares * stays), (RETURNS, answered.shares * (1.0 - stays) * returns)):
            # What weighs much is always followed, what weighs little seldom and then with more weight.
            shares = np.minimum(1.0, weights / _MUCH)
            rows = np.flatnonzero(rng.random(len(shares)) < shares)
            followed.append(Followed(rows, 1.0 / shares[rows], self.choices(self._next(after, kind, rows, rng))))
        return Branch(answered.rows, stays, returns, responses.exits.predict(after.features), *followed)

    def _after(self, states: States, choices: Choices, answered: _Answered, rng: np.random.Generator) -> _After:
        """The states right after answers."""
        rows, answers = answered.rows, answered.answers
        asks = choices.candidates.asks[rows]
        before = states.take(choices.candidates.groups[rows])
        told = self._told(before, choices.features[rows], asks, answers, rng)
        answered_at = told.crowd.now + self.donors.thinking(answers, rng)
        summary = after_answer(told.crowd.summary, told.given, asks, answers, answered_at, self.guards.catalog)
        features = state_features(self.encoded.columns, summary, replace(told.given, now=answered_at))
        return _After(told, asks, answers, answered_at, features.astype(np.float32))

    def _next(self, after: _After, kind: int, rows: IntArray, rng: np.random.Generator) -> States:
        """Some of those states at the next decision."""
        told = after.told.take(rows)
        continuation = self.donors.draw(kind, after.features[rows], rng)
        what = aftermath(after.asks[rows], after.answers[rows], after.answered_at[rows], continuation)
        summary = successors(told.crowd.summary, told.crowd.now, what, self.guards.catalog)
        crowd = replace(told.crowd, summary=summary, now=what.next_at)
        return States(crowd, replace(told.given, now=what.next_at))

    def _told(
        self, before: States, features: FloatArray, asks: IntArray, answers: IntArray, rng: np.random.Generator
    ) -> States:
        """The same states with the answers that acceptances collect."""
        known, encoded = dict(before.crowd.answers), before.given.answers.copy()
        asks_of = self.guards.catalog.asks
        for name, telling in self.telling.items():
            collects = np.array([*(name in ask.collects for ask in asks_of), False])
            rows = np.flatnonzero((answers == ACCEPTED) & collects[asks])
            if len(rows) == 0:
                continue
            column = known[name].copy()
            column[rows], encoded[rows, telling.column] = telling.draw(features[rows], rng)
            known[name] = column
        return States(replace(before.crowd, answers=known), replace(before.given, answers=encoded))
