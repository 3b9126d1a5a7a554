"""When a session or an episode ends if nothing else happens: what lifts the blocks that last that long."""

from __future__ import annotations

from data.domain import SECOND
from policy.situation import Situation


def session_ends_at(situation: Situation) -> int | None:
    """The end of the running session by time alone; ``None`` when nothing ever happened."""
    last_event_at = situation.state.last_event_at
    return last_event_at + situation.catalog.session_gap_s * SECOND if last_event_at else None


def episode_ends_at(situation: Situation) -> int | None:
    """The end of the running episode by time alone; ``None`` when none runs, so that time ends nothing."""
    started_at = situation.state.episode_started_at
    return started_at + situation.catalog.conversion_window_s * SECOND if started_at else None
