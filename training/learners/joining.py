"""States of several places put into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.columns import Given
from features.summary import SCALARS, Summary
from policy.crowd import Crowd
from training.learners.states import States


def joined(parts: Sequence[States]) -> States:
    """States one after the other; there must be one part at least."""
    crowds = [part.crowd for part in parts]
    first = crowds[0]
    crowd = Crowd(
        catalog=first.catalog,
        summary=joined_summaries([crowd.summary.compact() for crowd in crowds]),
        now=np.concatenate([crowd.now for crowd in crowds]),
        channel=np.concatenate([crowd.channel for crowd in crowds]),
        context={name: np.concatenate([crowd.context[name] for crowd in crowds]) for name in first.context},
        answers={name: np.concatenate([crowd.answers[name] for crowd in crowds]) for name in first.answers},
        withheld=np.concatenate([crowd.withheld for crowd in crowds]),
    )
    givens = [part.given for part in parts]
    given = Given(
        channel=np.concatenate([given.channel for given in givens]),
        context=np.concatenate([given.context for given in givens]),
        answers=np.concatenate([given.answers for given in givens]),
        now=np.concatenate([given.now for given in givens]),
    )
    return States(crowd, given)


def joined_summaries(parts: Sequence[Summary]) -> Summary:
    """Summaries under one catalog, one after the other."""
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in SCALARS}
    for places, table in (("ask_places", "ask_table"), ("signal_places", "signal_table")):
        shifts = np.cumsum([0] + [getattr(part, table).shape[1] for part in parts[:-1]])
        moved = [getattr(part, places) + np.int32(shift) for part, shift in zip(parts, shifts, strict=True)]
        values[places] = np.concatenate(moved)
        values[table] = np.hstack([getattr(part, table) for part in parts])
    return Summary(**values)
