"""Every guardrail, in the order in which they are asked; and a catalog's guardrails, ready to use.

A new guardrail is one file beside this one and one line in ``GUARDRAILS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from data.domain import Ask, Catalog
from features.state import Scopes, as_of
from policy.crowd import BoolArray, Crowd
from policy.guardrails.accepted import Accepted
from policy.guardrails.active import Active
from policy.guardrails.after_decline import AfterDecline
from policy.guardrails.audience import Audience
from policy.guardrails.channels import Channels
from policy.guardrails.collects import Collects
from policy.guardrails.consent import Consent
from policy.guardrails.cooldown_after_decline import CooldownAfterDecline
from policy.guardrails.devices import Devices
from policy.guardrails.exclude import Exclude
from policy.guardrails.excludes import Excludes
from policy.guardrails.max_asks_per_day import MaxAsksPerDay
from policy.guardrails.max_asks_per_session import MaxAsksPerSession
from policy.guardrails.max_effort_gap import MaxEffortGap
from policy.guardrails.max_effort_step import MaxEffortStep
from policy.guardrails.max_shows import MaxShows
from policy.guardrails.min_gap import MinGap
from policy.guardrails.protocol import Block
from policy.guardrails.repeatable import Repeatable
from policy.guardrails.requires import Requires
from policy.guardrails.rule import AskRule, JourneyRule
from policy.guardrails.step_down_after_decline import StepDownAfterDecline
from policy.guardrails.stop_after_declines import StopAfterDeclines
from policy.situation import Situation

GUARDRAILS: Final[tuple[AskRule | JourneyRule, ...]] = (
    Accepted(),
    Repeatable(),
    Requires(),
    Excludes(),
    Collects(),
    Audience(),
    Channels(),
    Devices(),
    MaxShows(),
    AfterDecline(),
    Consent(),
    Active(),
    Exclude(),
    MaxAsksPerSession(),
    MaxAsksPerDay(),
    MinGap(),
    CooldownAfterDecline(),
    StopAfterDeclines(),
    MaxEffortStep(),
    MaxEffortGap(),
    StepDownAfterDecline(),
)

_MAX_LOOKS_AHEAD: Final = 64


@dataclass(frozen=True)
class Guards:
    """The guardrails of one catalog; what depends on the catalog alone is settled here, once.

    Attributes:
        catalog: the catalog they were compiled for; a situation must be of this very catalog.
        effort_rules: names of the rules that the direct ask may skip.
        request_rules: names of the rules that depend on nothing but the request's ``exclude`` and ``consents``.
    """

    catalog: Catalog
    effort_rules: frozenset[str]
    request_rules: frozenset[str]
    _asks_by_rule: tuple[tuple[AskRule | JourneyRule, tuple[Ask, ...]], ...] = field(repr=False)
    _rules_by_ask: Mapping[str, tuple[AskRule | JourneyRule, ...]] = field(repr=False)

    def first_blocks(self, situation: Situation) -> dict[str, Block]:
        """The first block of every ask that is forbidden now, by ask id, in the catalog's order."""
        blocks: dict[str, Block] = {}
        for rule, asks in self._asks_by_rule:
            rule.screen(asks, situation, blocks)
        if len(blocks) < 2:
            return blocks
        return {ask.id: blocks[ask.id] for ask in self.catalog.asks if ask.id in blocks}

    def all_blocks(self, ask: Ask, situation: Situation) -> list[Block]:
        """Every block of one ask, in the order of ``GUARDRAILS``; empty when it may be asked."""
        blocks = (rule.block(ask, situation) for rule in self._rules_by_ask[ask.id])
        return [block for block in blocks if block is not None]


def compile_guards(catalog: Catalog, guardrails: Sequence[AskRule | JourneyRule] = GUARDRAILS) -> Guards:
    """The guardrails of a catalog; those that can forbid none of its asks are never called.

    Example:
        >>> from features.state import JourneyState
        >>> quiz = Ask("quiz", "How dry is your skin?", "quiz", effort=2)
        >>> catalog = Catalog("skincare", goal="quiz", baseline=("quiz",), asks=(quiz,))
        >>> situation = Situation(catalog, JourneyState(), 0, "web", {}, {}, exclude={"quiz"})
        >>> compile_guards(catalog).first_blocks(situation)
        {'quiz': Block(guardrail='exclude', reason='the request excludes it', until=None)}
    """
    by_rule = [(rule, tuple(ask for ask in catalog.asks if rule.concerns(ask, catalog))) for rule in guardrails]
    return Guards(
        catalog=catalog,
        effort_rules=frozenset(rule.name for rule in guardrails if rule.is_effort_rule),
        request_rules=frozenset(rule.name for rule in guardrails if rule.is_request_rule),
        _asks_by_rule=tuple((rule, asks) for rule, asks in by_rule if asks),
        _rules_by_ask={ask.id: tuple(rule for rule, asks in by_rule if ask in asks) for ask in catalog.asks},
    )


def forbidden_mask(guards: Guards, crowd: Crowd) -> BoolArray:
    """Where ``Guards.first_blocks`` would name an ask, for many decisions at once.

    Args:
        guards: the guardrails of a catalog.
        crowd: ``n`` decisions under that catalog of A asks.

    Returns:
        Shape (n, A): whether the ask is forbidden at the decision.

    Raises:
        ValueError: the crowd is of another catalog.
        NotImplementedError: a guardrail has no form for many decisions.

    Example:
        >>> import numpy as np
        >>> from data.domain import Limits
        >>> from features.state import JourneyState
        >>> from features.summary import summarize
        >>> poll, buy = Ask("poll", "Poll", "poll", 1), Ask("buy", "Buy", "purchase", 8)
        >>> limits = Limits(max_effort_step=4)
        >>> catalog = Catalog("shop", goal="buy", baseline=("poll", "buy"), asks=(poll, buy), limits=limits)
        >>> nobody_withheld = np.zeros((1, 2), dtype=np.bool_)
        >>> summary = summarize([JourneyState()], [5], catalog)
        >>> crowd = Crowd(catalog, summary, np.array([5]), np.array(["web"]), {}, {}, nobody_withheld)
        >>> forbidden_mask(compile_guards(catalog), crowd).tolist()
        [[False, True]]
    """
    if guards.catalog is not crowd.catalog and guards.catalog != crowd.catalog:
        raise ValueError(
            f"guardrails and decisions must be of one catalog; the guardrails are of {guards.catalog.journey} "
            f"({guards.catalog.digest[:12]}), the decisions of {crowd.catalog.journey} ({crowd.catalog.digest[:12]})"
        )
    forbidden = np.zeros((len(crowd), len(crowd.catalog.asks)), dtype=np.bool_)
    for rule, asks in guards._asks_by_rule:
        forbidden[:, crowd.columns(asks)] |= rule.mask(asks, crowd)
    return forbidden


def eligible_mask(guards: Guards, crowd: Crowd) -> BoolArray:
    """The asks that may be made at each decision, shape (n, A): what ``forbidden_mask`` leaves."""
    return ~forbidden_mask(guards, crowd)


def next_possible_at(guards: Guards, situation: Situation) -> int | None:
    """The earliest instant at which some ask is possible if nothing happens until then; ``None``: never.

    What lifts one block may raise another (the end of an episode takes its accepted efforts with it), so each
    instant is checked with the state as it will be then.
    """
    scopes = Scopes.of(guards.catalog)
    for _ in range(_MAX_LOOKS_AHEAD):
        lifted_at = [_lifted_at(guards.all_blocks(ask, situation), situation.now) for ask in guards.catalog.asks]
        instants = [at for at in lifted_at if at is not None]
        if not instants:
            return None
        earliest = min(instants)
        if earliest <= situation.now:
            return situation.now
        situation = replace(situation, now=earliest, state=as_of(situation.state, earliest, scopes))
    return None


def _lifted_at(blocks: Sequence[Block], now: int) -> int | None:
    """When time alone has lifted all the blocks; ``None`` when it never does."""
    latest = now
    for block in blocks:
        if block.until is None:
            return None
        latest = max(latest, block.until)
    return latest
