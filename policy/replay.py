"""The log evaluator: what a policy made, or would make, of every decision of a log.

A log is replayed visitor by visitor in order of arrival. At each decision the state is what the visitor's earlier
rows make of it, guardrails run on it, and the policy that served (or another one) weighs what they left. On a log
of our own, the recomputed probability is the logged one bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.domain import Decision, Event
from features.state import JourneyState, Scopes, advance, as_of, copy, fold, show
from policy.choose import Weighed, weigh
from policy.live import CHALLENGER, HOLDOUT, MAIN, LiveJourney, LivePolicy, Served, fallback, served, unprofiled
from policy.situation import EveryConsent, Situation

if TYPE_CHECKING:
    from data.arrivals import History


@dataclass(frozen=True, slots=True)
class Replayed:
    """A logged decision and what the replay makes of it. ``weighed`` is ``None`` where its policy is not at hand."""

    decision: Decision
    situation: Situation
    weighed: Weighed | None

    @property
    def is_reproduced(self) -> bool:
        """Whether eligible asks and propensity come out exactly as logged."""
        if self.weighed is None or self.decision.eligible is None:
            return False
        if self.weighed.eligible != self.decision.eligible or self.decision.ask_id not in self.weighed.eligible:
            return False
        row = self.weighed.eligible.index(self.decision.ask_id)
        return self.weighed.probabilities[row] == self.decision.propensity


def replay(
    histories: Iterable[History],
    live: LiveJourney,
    versions: Mapping[str, LivePolicy],
    *,
    serve: Callable[[Decision], Served | None] | None = None,
) -> Iterator[Replayed]:
    """Replays histories and weighs every decision in them.

    Args:
        histories: what ``data.arrivals.histories`` makes of a log.
        live: catalog and guardrails to apply.
        versions: policies by version, for rows that a champion or challenger served.
        serve: the policy to weigh each decision with; default: the one that the log names.
    """
    choose_policy = serve or (lambda decision: logged_policy(decision, live, versions))
    for history in histories:
        yield from _replay_one(history, live, choose_policy)


def logged_policy(decision: Decision, live: LiveJourney, versions: Mapping[str, LivePolicy]) -> Served | None:
    """The policy that a log's row says served it, ``None`` where it is unknown or not at hand."""
    label = decision.policy
    if not decision.is_learnable and label == "baseline":
        return unprofiled()
    if label.startswith(HOLDOUT):
        return served(live, label)
    if label == "fallback":
        return fallback("as logged")
    if label == "baseline":
        return served(LiveJourney(live.catalog), MAIN)
    kind, _, version = label.partition(":")
    policy = versions.get(version)
    if policy is None or kind not in ("champion", CHALLENGER):
        return None
    return Served(policy.policy, kind, version, None, label, policy.rows)


def situation_of(decision: Decision, state: JourneyState, live: LiveJourney) -> Situation:
    """The situation of a logged decision: ``withheld`` stands for the request's exclusions and missing consents."""
    return Situation(
        catalog=live.catalog,
        state=as_of(state, decision.at, live.scopes),
        now=decision.at,
        channel=decision.channel,
        context=decision.context,
        answers=decision.answers,
        consents=EveryConsent(),
        exclude=frozenset(decision.withheld),
    )


def _replay_one(
    history: History, live: LiveJourney, choose_policy: Callable[[Decision], Served | None]
) -> Iterator[Replayed]:
    state = fold(history.past, live.scopes)
    for moment in history.moments:
        if not moment.is_look:
            _fold_one(state, moment.item, live.scopes)
        elif isinstance(moment.item, Decision):
            yield _weigh(moment.item, state, live, choose_policy)


def _weigh(
    decision: Decision,
    state: JourneyState,
    live: LiveJourney,
    choose_policy: Callable[[Decision], Served | None],
) -> Replayed:
    # A copy: whoever keeps the result must not see the state move on.
    situation = situation_of(decision, copy(state), live)
    serve = choose_policy(decision)
    return Replayed(decision, situation, None if serve is None else weigh(live, situation, serve))


def _fold_one(state: JourneyState, item: Decision | Event, scopes: Scopes) -> None:
    if isinstance(item, Decision):
        show(state, item, scopes)
    else:
        advance(state, item, scopes)
