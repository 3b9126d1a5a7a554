"""Crowds of situations: the same decisions for guardrails that judge one and for those that judge many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from data.domain import Catalog, Feature
from features.summary import summarize
from policy.crowd import Crowd
from policy.guardrails.registry import compile_guards
from policy.situation import EveryConsent, Situation
from tests.policy.guardrail_cases import Step, a_situation

PAUSES = st.sampled_from([0.0, 0.0, 0.1, 1.0, 4.0, 20.0, 40.0, 700.0, 1_441.0])
_ODD_VALUES = (None, "", "fridge", 3, 2.5, float("nan"), float("inf"), True, False, 2**70, "mobile", 1, 1.0, -0.0)


def crowd_of(situations: Sequence[Situation]) -> Crowd:
    """The crowd that situations of one catalog stand for, read-only; what their requests rule out is withheld."""
    catalog = situations[0].catalog
    names = [*(feature.name for feature in catalog.context), "device"]
    crowd = Crowd(
        catalog=catalog,
        summary=summarize([s.state for s in situations], [s.now for s in situations], catalog),
        now=np.array([s.now for s in situations]),
        channel=objects([s.channel for s in situations]),
        context={name: objects([s.context.get(name) for s in situations]) for name in names},
        answers={f.name: objects([s.answers.get(f.name) for s in situations]) for f in catalog.answers},
        withheld=np.array([[ask.id in withheld_of(s) for ask in catalog.asks] for s in situations]),
    )
    summary = (getattr(crowd.summary, field.name) for field in fields(crowd.summary))
    for array in (crowd.now, crowd.channel, crowd.withheld, *crowd.context.values(), *crowd.answers.values(), *summary):
        array.flags.writeable = False
    return crowd


def withheld_of(situation: Situation) -> set[str]:
    """The asks that the request rules out."""
    guards = compile_guards(situation.catalog)
    return {
        ask.id
        for ask in situation.catalog.asks
        if any(block.guardrail in guards.request_rules for block in guards.all_blocks(ask, situation))
    }


def as_logged(situation: Situation) -> Situation:
    """The situation as a log tells it: what the request rules out is named, whyever it does."""
    return replace(situation, consents=EveryConsent(), exclude=withheld_of(situation))


def objects(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Values as they are, in an array."""
    array = np.full(len(values), None, dtype=object)
    array[:] = values
    return array


@st.composite
def groups_of_situations(draw: st.DrawFn, catalogs: st.SearchStrategy[Catalog]) -> list[Situation]:
    """Up to five random visitors of one random catalog, each at a random moment after a random history."""
    catalog = draw(catalogs)
    return [_one(draw, catalog) for _ in range(draw(st.integers(1, 5)))]


def _one(draw: st.DrawFn, catalog: Catalog) -> Situation:
    names = st.sampled_from([*(ask.id for ask in catalog.asks), "gone"])
    kinds = st.sampled_from(["show", "show", "yes", "yes", "no", "no", "unprompted", "signal"])
    minute, steps = 0.0, list[Step]()
    for pause, kind, name in draw(st.lists(st.tuples(PAUSES, kinds, names), max_size=10)):
        minute += pause
        steps.append((minute, kind, name))
    consents = {ask.consent for ask in catalog.asks if ask.consent is not None}
    return a_situation(
        catalog,
        *steps,
        minute=minute + draw(PAUSES),
        channel=draw(st.sampled_from(["web", "web", "email", "fax"])),
        context=draw(_given((*catalog.context, Feature("device", "category", ("mobile",))), catalog)),
        answers=draw(_given(catalog.answers, catalog)),
        consents=draw(st.sampled_from([frozenset(), frozenset(consents)])),
        exclude=draw(st.sets(names, max_size=2)),
    )


def _given(features: Sequence[Feature], catalog: Catalog) -> st.SearchStrategy[dict[str, Any]]:
    """Values for some of the features: mostly such as make a difference to the catalog, sometimes odd ones."""
    chosen: dict[str, st.SearchStrategy[Any]] = {}
    for feature in features:
        rules = [rule for ask in catalog.asks for rule in ask.audience if rule.feature == feature.name]
        telling = [value for rule in rules for value in _operands(rule.operand)]
        telling += [*(feature.values or ()), feature.minimum, feature.maximum]
        if feature.name == "device":
            telling += [name for ask in catalog.asks for name in ask.devices]
        huge = () if feature.name == "device" else (10**400,)
        chosen[feature.name] = st.sampled_from([*telling, *telling, *_ODD_VALUES, *huge])
    whole = st.fixed_dictionaries({}, optional=chosen)
    return whole.map(lambda given: {name: value for name, value in given.items() if value is not None})


def _operands(operand: Any) -> tuple[Any, ...]:
    return operand if isinstance(operand, tuple) else (operand, operand + 1, operand - 1)
