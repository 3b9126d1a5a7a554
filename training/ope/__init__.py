"""Off-policy evaluation: what another policy would have earned, from a log, with intervals that mean it."""

from training.ope.estimates import Diagnostics, diagnostics, difference, estimate
from training.ope.estimators import ESTIMATORS, Tuning
from training.ope.logged import LoggedSteps
from training.ope.table import from_columns, read_table

__all__ = [
    "ESTIMATORS",
    "Diagnostics",
    "LoggedSteps",
    "Tuning",
    "diagnostics",
    "difference",
    "estimate",
    "from_columns",
    "read_table",
]
