"""What every store decides the same way, whatever it keeps its rows in."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

from data.domain import EVENT_TYPES, Decision, Event
from data.stores.protocol import Commit, StoredDecision

BATCH: Final = 10_000
"""Rows in one batch of ``Store.log``."""
UNSEEN: Final = ("deferred", "expired")
"""Statuses of decisions that no visitor has seen: they count for no state and are in no log."""

_RANK: Final = {name: rank for rank, name in enumerate(EVENT_TYPES)}
_Text: TypeAlias = tuple[bool, str]
ArrivalKey: TypeAlias = tuple[int, int, int, str, _Text, _Text, _Text, _Text]


def counts(stored: StoredDecision) -> bool:
    """Whether a decision counts for its visitor's state and belongs in the log."""
    return stored.scope == "visitor" and stored.status not in UNSEEN


def arrival_key(row: Decision | Event) -> ArrivalKey:
    """Sorts rows in order of arrival; ties are broken by content, absent values first.

    Text compares as its UTF-8 bytes do.
    """
    if isinstance(row, Decision):
        return (
            row.received_at,
            row.at,
            0,
            row.visitor_id,
            _text(row.ask_id),
            _text(None),
            _text(row.decision_id),
            _text(None),
        )
    return (
        row.received_at,
        row.at,
        _RANK[row.type],
        row.visitor_id,
        _text(row.ask_id),
        _text(row.signal),
        _text(row.decision_id),
        _text(row.event_id),
    )


def contradicts_itself(commit: Commit) -> bool:
    """Whether two decisions or two events of a commit claim the same id: such a commit is refused."""
    decisions, events = commit.decisions, commit.events
    if len(decisions) > 1 and len({stored.decision.decision_id for stored in decisions}) < len(decisions):
        return True
    return len(events) > 1 and len({stored.key for stored in events}) < len(events)


def check_versions(commits: Sequence[Commit]) -> None:
    """Checks that versions grow and that no commit writes one visitor twice.

    Raises:
        ValueError: the caller broke the protocol; nothing of the group has been written.
    """
    for commit in commits:
        for write in commit.visitors:
            if write.version <= write.expected_version:
                raise ValueError(
                    f"visitor {write.visitor_id!r}: version {write.version} does not follow "
                    f"{write.expected_version}; allowed: a larger number"
                )
        if len(commit.visitors) > 1 and len({write.visitor_id for write in commit.visitors}) < len(commit.visitors):
            raise ValueError(f"a commit writes one visitor twice: {[w.visitor_id for w in commit.visitors]}")


def tombstone(salt: bytes, visitor_id: str) -> bytes:
    """What is kept of an erased visitor: a hash that tells whether an id was erased, but not which ids were.

    Example:
        >>> tombstone(b"salt", "v-1") == tombstone(b"salt", "v-1"), tombstone(b"salt", "v-1") == tombstone(b"", "v-1")
        (True, False)
    """
    return blake2b(visitor_id.encode(), key=salt, digest_size=16).digest()


def _text(value: str | None) -> _Text:
    return (value is not None, value or "")
