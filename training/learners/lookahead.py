"""Looking ahead: every ask that is possible in a state, both answers, and the state each of them leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from features.columns import FloatArray, Given
from features.successors import ACCEPTED, DECLINED, SILENT, successors
from features.summary import IntArray
from policy.candidates import NOTHING, Candidates
from policy.crowd import BoolArray, Crowd
from policy.guardrails.registry import Guards, eligible_mask
from training.learners.donors import RETURNS, STAYS, Donors, Telling
from training.learners.responses import Encoded, Responses, after_answer, state_features
from training.table import candidates_of

_MUCH: Final = 0.15
"""A continuation at least this likely is always followed."""


@dataclass(frozen=True, eq=False)
class States:
    """Visitors at a decision: what guardrails know of them, and the same encoded for features."""

    crowd: Crowd
    given: Given

    def __len__(self) -> int:
        return len(self.crowd)

    def take(self, rows: IntArray | BoolArray) -> States:
        """Some of them."""
        return States(self.crowd.take(rows), self.given.take(rows))


@dataclass(frozen=True, eq=False)
class Choices:
    """The candidates of some states with their features; ``has_ask`` is false where guardrails leave nothing."""

    candidates: Candidates
    features: FloatArray
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
class Reached:
    """The states that all rows of a branch lead to: at the next decision in this visit, and in the next one."""

    stay: States
    back: States


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
class Model:
    """Everything that looking ahead needs to know of a site's visitors."""

    guards: Guards
    encoded: Encoded
    responses: Responses
    donors: Donors
    telling: Mapping[str, Telling]
    threads: int

    def choices(self, states: States) -> Choices:
        """What could be asked in some states."""
        catalog = self.guards.catalog
        possible = np.zeros((len(states), len(catalog.asks) + 1), dtype=np.bool_)
        possible[:, :-1] = eligible_mask(self.guards, states.crowd)
        has_ask = possible.any(axis=1)
        possible[:, -1] = catalog.allow_nothing
        candidates = candidates_of(catalog, states.crowd.summary, possible)
        features = self.encoded.columns.matrix(states.crowd.summary, states.given, candidates.offsets, candidates.asks)
        return Choices(candidates, features.astype(np.float32), has_ask)

    def expand(self, states: States, rng: np.random.Generator) -> tuple[Tree, tuple[Reached, Reached]]:
        """Looks one step ahead of some states; also where acceptances and refusals lead to."""
        choices = self.choices(states)
        candidates, features = choices.candidates, choices.features
        is_ask = candidates.asks != NOTHING
        p_accepts = np.where(is_ask, self.responses.accepts.predict(features), 0.0)
        p_declines = self.responses.declines.predict(features)
        goal = self.guards.catalog.position[self.guards.catalog.goal]
        yes = np.flatnonzero(is_ask & (candidates.asks != goal) & (p_accepts > 0.0))
        answers = np.where(is_ask & (rng.random(len(p_declines)) < p_declines), DECLINED, SILENT)
        everyone = np.arange(len(candidates.asks))
        accepted, after_yes = self._branch(
            states, choices, _Answered(yes, np.full(len(yes), ACCEPTED), p_accepts[yes]), rng
        )
        refused, after_no = self._branch(states, choices, _Answered(everyone, answers, 1.0 - p_accepts), rng)
        tree = Tree(choices, p_accepts, self.responses.earns[candidates.asks], accepted, refused)
        return tree, (after_yes, after_no)

    def _branch(
        self, states: States, choices: Choices, answered: _Answered, rng: np.random.Generator
    ) -> tuple[Branch, Reached]:
        rows, answers = answered.rows, answered.answers
        groups = choices.candidates.groups[rows]
        asks = choices.candidates.asks[rows]
        before = states.take(groups)
        summary, now = before.crowd.summary, before.crowd.now
        told = self._told(before, choices.features[rows], asks, answers, rng)
        after = [
            self.donors.draw(kind, asks, answers, summary.session_accepted, now, rng) for kind in (STAYS, RETURNS)
        ]
        catalog = self.guards.catalog
        left = after_answer(summary, told.given, asks, answers, after[0].answered_at, catalog)
        features = state_features(self.encoded.columns, left, replace(told.given, now=after[0].answered_at))
        following = []
        for aftermath in after:
            reached = successors(summary, now, aftermath, catalog)
            crowd = replace(told.crowd, summary=reached, now=aftermath.next_at)
            following.append(States(crowd, replace(told.given, now=aftermath.next_at)))
        responses = self.responses
        stays, returns = responses.stays.predict(features), responses.returns.predict(features)
        weights = (answered.shares * stays, answered.shares * (1.0 - stays) * returns)
        followed = [self._followed(state, weight, rng) for state, weight in zip(following, weights, strict=True)]
        return Branch(rows, stays, returns, responses.exits.predict(features), *followed), Reached(*following)

    def _followed(self, states: States, weights: FloatArray, rng: np.random.Generator) -> Followed:
        """Follows what weighs much always, what weighs little seldom and then with more weight: right on average."""
        shares = np.minimum(1.0, weights / _MUCH)
        rows = np.flatnonzero(rng.random(len(shares)) < shares)
        return Followed(rows, 1.0 / shares[rows], self.choices(states.take(rows)))

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
            column[rows], encoded[rows, telling.column] = telling.draw(features[rows], rng, self.threads)
            known[name] = column
        return States(replace(before.crowd, answers=known), replace(before.given, answers=encoded))
