"""The estimators by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from training.ope.doubly_robust import DirectMethod, DoublyRobust
from training.ope.one_step import ShrunkDoublyRobust, SwitchDoublyRobust
from training.ope.per_decision import PerDecisionImportance
from training.ope.terms import Estimator
from training.ope.trajectory import TrajectoryImportance


@dataclass(frozen=True)
class Tuning:
    """The parameters that some estimators have; None: chosen from the log.

    Attributes:
        tau: of ``switch_dr``.
        lam: of ``dr_os``.
    """

    tau: float | None = None
    lam: float | None = None


ESTIMATORS: Final[Mapping[str, Callable[[Tuning], Estimator]]] = MappingProxyType(
    {
        "ips": lambda _: TrajectoryImportance("ips"),
        "snips": lambda _: TrajectoryImportance("snips", is_self_normalized=True),
        "tis": lambda _: TrajectoryImportance("tis"),
        "sntis": lambda _: TrajectoryImportance("sntis", is_self_normalized=True),
        "pdis": lambda _: PerDecisionImportance("pdis"),
        "snpdis": lambda _: PerDecisionImportance("snpdis", is_self_normalized=True),
        "dm": lambda _: DirectMethod(),
        "dr": lambda _: DoublyRobust("dr"),
        "sndr": lambda _: DoublyRobust("sndr", is_self_normalized=True),
        "switch_dr": lambda tuning: SwitchDoublyRobust(tuning.tau),
        "dr_os": lambda tuning: ShrunkDoublyRobust(tuning.lam),
    }
)
"""``ips`` is ``tis`` and ``snips`` is ``sntis``: on tables of one step a reader expects the one name, on episodes the
other."""
