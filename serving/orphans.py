"""A worker outlives its supervisor only when that was killed; it must then leave the port to the next service."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from typing import Final

PAUSE_S: Final = 1.0

logger = logging.getLogger("smallyes.serving")


SUPERVISOR_VARIABLE: Final = "SMALLYES_SUPERVISOR"


def supervisor_of(environment: Mapping[str, str]) -> int:
    """The process that started this worker, even if it was killed before the worker could look."""
    named = environment.get(SUPERVISOR_VARIABLE, "")
    return int(named) if named.isdigit() else os.getppid()


async def leave_when_orphaned(parent: int) -> None:
    """Asks this process to stop, as its supervisor would, once ``parent`` is not its parent any more."""
    while os.getppid() == parent:
        await asyncio.sleep(PAUSE_S)
    logger.error("the supervisor of this worker is gone: finishing what runs, then leaving")
    os.kill(os.getpid(), signal.SIGTERM)
