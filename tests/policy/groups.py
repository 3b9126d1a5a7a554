"""Ragged groups of candidates for the tests of explorers, scorers and policies."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from policy.candidates import NOTHING, Candidates, FloatArray

N_ASKS = 30
"""Asks in the catalog that the candidates are taken from."""


def one_group(n: int, baseline: int = 0, direct: int = -1) -> Candidates:
    """A single decision over the first ``n`` asks."""
    return Candidates(np.array([0, n]), np.arange(n), np.array([baseline]), np.array([direct]))


def joined(groups: Sequence[Candidates]) -> Candidates:
    """The groups in one batch."""
    starts = np.cumsum([0, *(len(group.asks) for group in groups)])

    def moved(rows: list[int]) -> np.ndarray:
        return np.array([-1 if row < 0 else start + row for start, row in zip(starts, rows, strict=False)], dtype=int)

    return Candidates(
        offsets=starts,
        asks=np.concatenate([group.asks for group in groups]) if groups else np.empty(0, dtype=int),
        baseline=moved([int(group.baseline[0]) for group in groups]),
        direct=moved([int(group.direct[0]) for group in groups]),
    )


def exact_sum(probabilities: FloatArray) -> float:
    return float(sum(map(Fraction, probabilities.tolist())))


@st.composite
def groups(draw: st.DrawFn) -> Candidates:
    """One decision: some asks, nothing among them or not, a baseline and a goal among them or not."""
    asks = draw(st.lists(st.integers(0, N_ASKS - 1), min_size=1, max_size=25, unique=True))
    if draw(st.booleans()):
        asks.append(NOTHING)
    rows = st.integers(-1, len(asks) - 1)
    return Candidates(np.array([0, len(asks)]), np.array(asks), np.array([draw(rows)]), np.array([draw(rows)]))


shares = st.one_of(st.sampled_from([0.0, 0.05, 0.5, 1.0]), st.floats(0, 1))
values_like = st.one_of(
    st.sampled_from([0.0, 0.01, 0.02, 0.5]), st.floats(0, 1), st.floats(-1e9, 1e9, allow_subnormal=False)
)


@st.composite
def valued_groups(draw: st.DrawFn) -> tuple[Candidates, FloatArray]:
    group = draw(groups())
    n = len(group.asks)
    return group, np.array(draw(st.lists(values_like, min_size=n, max_size=n)))
