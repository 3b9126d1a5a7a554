"""Segment arithmetic equals the obvious loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import segments
from features.segments import (
    first_at_least,
    last_before,
    prefix_sum,
    running_max,
    running_min,
    shifted,
    stable_order,
)

MICROSECONDS = st.integers(1_500_000_000_000_000, 1_900_000_000_000_000)
SEQUENCES = st.lists(st.lists(MICROSECONDS, min_size=1, max_size=6), min_size=1, max_size=6)


def laid(sequences):
    groups = np.repeat(np.arange(len(sequences)), [len(sequence) for sequence in sequences])
    return np.array([value for sequence in sequences for value in sequence]), groups


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3)))
def test_stable_order_is_that_of_a_stable_sort(keys):
    array = np.array(keys, dtype=np.int64)
    assert stable_order(array).tolist() == sorted(range(len(keys)), key=keys.__getitem__)


@given(SEQUENCES)
def test_running_max_stays_within_its_sequence(sequences):
    values, groups = laid(sequences)
    wanted = [max(sequence[: i + 1]) for sequence in sequences for i in range(len(sequence))]
    assert running_max(values, groups).tolist() == wanted


@given(SEQUENCES)
def test_running_min_stays_within_its_sequence(sequences):
    values, groups = laid(sequences)
    wanted = [min(sequence[: i + 1]) for sequence in sequences for i in range(len(sequence))]
    assert running_min(values, groups).tolist() == wanted


@given(SEQUENCES)
def test_running_max_is_right_when_64_bits_hold_few_sequences(sequences):
    values, groups = laid(sequences)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_ROOM", 10**15)
        found = running_max(values, groups)
    assert found.tolist() == running_max(values, groups).tolist()


def test_running_max_takes_zero_for_nothing():
    assert running_max(np.array([0, 7, 0, 3, 0]), np.array([0, 0, 0, 0, 1])).tolist() == [0, 7, 7, 7, 0]


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=6).map(sorted), st.integers(0, 10)), max_size=5))
def test_first_at_least_finds_the_first_in_each_slice(slices):
    values = np.array([value for items, _ in slices for value in items], dtype=np.int64)
    edges = np.cumsum([0, *(len(items) for items, _ in slices)])
    floors = np.array([floor for _, floor in slices], dtype=np.int64)
    found = first_at_least(values, edges[:-1], edges[1:], floors)
    wanted = [sum(value < floor for value in items) for items, floor in slices]
    assert (found - edges[:-1]).tolist() == wanted


def test_prefix_arrays_are_about_the_rows_before():
    flags = np.array([True, False, True])
    assert prefix_sum(flags).tolist() == [0, 1, 1, 2]
    assert last_before(flags).tolist() == [-1, 0, 0, 2]


def test_shifted_gives_the_first_row_of_a_sequence_nothing():
    assert shifted(np.array([1, 2, 3, 4]), np.array([0, 0, 1, 2])).tolist() == [0, 1, 0, 0]
