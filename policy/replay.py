"""The log evaluator: what a policy made, or would make, of every decision of a log.

A log is replayed visitor by visitor in order of arrival. At each decision the state is what the visitor's earlier
rows make of it, guardrails run on it, and the policy that served (or another one) weighs what they left. On a log
of our own, the recomputed probability is the logged one bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from data.domain import Decision, Event
from features.state import JourneyState, Scopes, advance, as_of, show
from policy.choose import Weighed, weigh
from policy.live import CHALLENGER, HOLDOUT, MAIN, LiveJourney, LivePolicy, Served, fallback, served, unprofiled
from policy.situation import EveryConsent, Situation


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
    histories: Iterable[Sequence[Decision | Event]],
    live: LiveJourney,
    versions: Mapping[str, LivePolicy],
    *,
    serve: Callable[[Decision], Served | None] | None = None,
) -> Iterator[Replayed]:
    """Replays histories, one a visitor sequence in order of arrival.

    Args:
        histories: each the rows of one visitor (of one union of merged visitors).
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
    return Served(policy.policy, kind, version, None, label, policy.spec)


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
    history: Sequence[Decision | Event], live: LiveJourney, choose_policy: Callable[[Decision], Served | None]
) -> Iterator[Replayed]:
    state = JourneyState()
    late: list[tuple[int, Decision]] = []
    for position, item in enumerate(history):
        if isinstance(item, Decision):
            if item.received_at > item.at:
                late.append((position, item))
            else:
                yield _weigh(item, state, live, choose_policy)
        _fold_one(state, item, live.scopes)
    for position, decision in late:
        # It was made before it arrived: fold only what was known when it was made.
        known = [item for item in history[:position] if item.received_at <= decision.at]
        past = JourneyState()
        for item in known:
            _fold_one(past, item, live.scopes)
        yield _weigh(decision, past, live, choose_policy)


def _weigh(
    decision: Decision,
    state: JourneyState,
    live: LiveJourney,
    choose_policy: Callable[[Decision], Served | None],
) -> Replayed:
    situation = situation_of(decision, state, live)
    serve = choose_policy(decision)
    return Replayed(decision, situation, None if serve is None else weigh(live, situation, serve))


def _fold_one(state: JourneyState, item: Decision | Event, scopes: Scopes) -> None:
    if isinstance(item, Decision):
        show(state, item, scopes)
    else:
        advance(state, item, scopes)
