"""What the poller of the registry says of itself: a small file that every worker of the service reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from data.clock import to_iso
from data.domain import SECOND

STATUS_FILE: Final = ".poller.json"
LOCK_FILE: Final = ".poller.lock"
SILENCE_S: Final = 60.0
"""How much longer than its pause a poller may be silent before that is told; a large bundle takes a while."""


@dataclass(frozen=True)
class PollerStatus:
    """How the last look at the registry went.

    Attributes:
        pid: the poller's process.
        poll_seconds: its pause between two looks.
        asked_at: when it last looked, seconds since 1970.
        succeeded_at: when all went well last; ``None``: never yet.
        troubles: what is wrong, by journey; under ``registry`` what concerns all of them.
    """

    pid: int
    poll_seconds: float
    asked_at: float
    succeeded_at: float | None = None
    troubles: Mapping[str, str] = field(default_factory=dict)


def write_status(policies: Path, status: PollerStatus) -> None:
    """Replaces the status file, whole."""
    policies.mkdir(parents=True, exist_ok=True)
    content = {**status.__dict__, "troubles": dict(status.troubles)}
    draft = policies / f"{STATUS_FILE}-{os.getpid()}"
    draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
    draft.replace(policies / STATUS_FILE)


def read_status(policies: Path) -> PollerStatus | None:
    """The poller's last word; ``None`` where there is none that can be read.

    Example:
        >>> read_status(Path("no such folder")) is None
        True
    """
    try:
        return PollerStatus(**json.loads((policies / STATUS_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def registry_troubles(policies: Path) -> dict[str, str]:
    """What is wrong with following the registry now, by journey; ``registry`` stands for all of them.

    Example:
        >>> registry_troubles(Path("no such folder"))
        {}
    """
    status = read_status(policies)
    if status is None:
        return {}
    troubles = dict(status.troubles)
    if time.time() - status.asked_at > 2 * status.poll_seconds + SILENCE_S:
        since = to_iso(int(status.asked_at * SECOND))
        troubles.setdefault("registry", f"has not been asked since {since}: the poller (process {status.pid}) is stuck")
    return troubles
