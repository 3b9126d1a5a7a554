"""Lowering equals the fold, field by field, on random logs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from features.lowering import lower
from features.summary import SCALARS, Summary
from tests.features.random_logs import CATALOG, expected, logs, stand_in

UNFOLDED = (
    "n_shown",
    "n_accepted",
    "n_declined",
    "shown_at",
    "accepted_at",
    "declined_at",
    "n_shown_episode",
    "n_accepted_episode",
    "n_signals",
    "n_signals_session",
    "signaled_at",
)


def assert_equal(found: Summary, wanted: Summary) -> None:
    for name in (*SCALARS, *UNFOLDED):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


@settings(max_examples=300, deadline=None)
@given(logs())
def test_lowering_equals_the_fold(items):
    assert_equal(lower(stand_in(items), CATALOG).summary, expected(items))
