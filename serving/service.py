"""The BentoML service: its settings, and the opening and closing of the office. What it answers is ``serving.door``.

Start it with ``smallyes serve``, or with ``bentoml serve serving.service:SmallYes`` in a workspace.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import bentoml

from data.clock import now
from data.errors import BadInput, SmallyesError
from data.settings import ServeSettings, environment_name, load_settings
from data.stores.registry import open_store
from data.workspace import Workspace, find_workspace
from policy.launching import SERVICE_NAME, WORKSPACE_VARIABLE, backstop_s
from serving.door import Door, Entrance
from serving.meters import Meters
from serving.office import Office, check_address
from serving.orphans import SUPERVISOR_VARIABLE, leave_when_orphaned, supervisor_of
from serving.poller import PollerKeeper

_RESTART_PAUSE_S: Final = 2.0
"""A worker that cannot open waits before it ends, as it is started again at once."""

logger = logging.getLogger("smallyes.serving")


def workspace_of(environment: Mapping[str, str]) -> Workspace:
    """The workspace that ``SMALLYES_WORKSPACE`` names, else the nearest one at or above the current folder.

    Raises:
        BadInput: there is none, or its settings are wrong.
    """
    named = environment.get(WORKSPACE_VARIABLE)
    return find_workspace(Path.cwd(), environment, {}, explicit=Path(named) if named else None)


def serve_settings(environment: Mapping[str, str]) -> ServeSettings:
    """The settings that BentoML wants to know before there is a workspace; wrong ones are told when it opens."""
    wanted = [environment_name(f"serve.{name}") for name in ServeSettings.model_fields]
    try:
        return load_settings(None, {name: environment[name] for name in wanted if name in environment}, {}).serve
    except BadInput:
        return ServeSettings()


_settings = serve_settings(os.environ)
_entrance = Entrance()


@bentoml.service(
    name=SERVICE_NAME,
    workers=_settings.workers,
    traffic={"timeout": backstop_s(_settings.deadline_ms)},
    # Tracing is on otherwise, exporter or not, at half the price of a request; what is counted is ``serving.meters``.
    tracing={"excluded_urls": "/"},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class SmallYes:
    """Answers what to ask a visitor next, and remembers what became of it."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Looks once, before any worker starts, whether the workspace can be served."""
        os.environ[SUPERVISOR_VARIABLE] = str(os.getpid())
        try:
            workspace = workspace_of(os.environ)
            # Workers are started elsewhere: in the folder of the code.
            os.environ[WORKSPACE_VARIABLE] = str(workspace.root)
            workspace.secret()
            store = open_store(workspace.store_url, sync=workspace.settings.store.sync)
            try:
                check_address(workspace, store)
            finally:
                store.close()
        except SmallyesError as error:
            raise bentoml.exceptions.BentoMLException(str(error)) from None

    def __init__(self) -> None:
        try:
            self._office = Office(workspace_of(os.environ), now, Meters())
        except SmallyesError as error:
            logger.error("%s", error)
            time.sleep(_RESTART_PAUSE_S)
            raise SystemExit(3) from None

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def open(self) -> None:
        """Opens the door; what is loaded by now stays, so that the garbage collector need not look at it again."""
        await self._office.start()
        self._watch = asyncio.create_task(leave_when_orphaned(supervisor_of(os.environ)))
        self._keeper = PollerKeeper(self._office.workspace)
        self._keeper.start()
        _entrance.office = self._office
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Closes the office after the last request was answered."""
        _entrance.office = None
        self._watch.cancel()
        await asyncio.to_thread(self._keeper.stop)
        await self._office.stop()


SmallYes.add_asgi_middleware(Door, entrance=_entrance)  # type: ignore[attr-defined]
