"""Visitors at a decision, real or hypothetical."""

from __future__ import annotations

from dataclasses import dataclass

from features.columns import Given
from features.summary import IntArray
from policy.crowd import BoolArray, Crowd


@dataclass(frozen=True, eq=False)
class States:
    """Visitors at a decision: what guardrails know of them, and the same encoded for features."""

    crowd: Crowd
    given: Given

    def __len__(self) -> int:
        return len(self.crowd)

    def take(self, rows: IntArray | BoolArray) -> States:
        """Some of them."""
        return States(self.crowd.take(rows), self.given.take(rows))
