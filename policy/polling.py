"""The poller: asks the model registry every few seconds and brings what is live on this host up to date.

``python -m policy.polling --parent PID`` is started by a service, one per host and workspace, and leaves with it.
It is a process of its own because MLflow takes 200 MB and seconds to import, which no worker should pay. Until a
policy was registered it does not import MLflow at all.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from data.catalog import CatalogFolder
from data.errors import SmallyesError
from data.workspace import Workspace, find_workspace
from policy.launching import WORKSPACE_VARIABLE
from policy.mlflow_file import is_worth_following
from policy.poller_status import PollerStatus, write_status
from policy.registry import Registry
from policy.syncing import Syncing

NO_MLFLOW: Final = 69
"""Exit code: MLflow is not installed, so that starting again would help nobody."""
_PARENT_PAUSE_S: Final = 0.5
_ALL: Final = "registry"

logger = logging.getLogger("smallyes.registry")


class Poller:
    """Looks at the registry for every journey of a workspace; an error keeps what is live.

    Attributes:
        troubles: what went wrong at the last look, by journey; ``registry`` stands for all of them.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._catalogs = CatalogFolder(workspace.journeys)
        self._syncing: Syncing | None = None
        self._succeeded_at: float | None = None
        self.troubles: dict[str, str] = {}

    def look(self) -> None:
        """Asks once, and writes down how that went."""
        found = self._ask()
        for journey, text in found.items():
            if self.troubles.get(journey) != text:
                logger.warning("%s: %s; what is live stays live", journey, text)
        for journey in self.troubles.keys() - found.keys():
            logger.info("%s: follows the registry again", journey)
        self.troubles = found
        now = time.time()
        if not found:
            self._succeeded_at = now
        status = PollerStatus(os.getpid(), self._workspace.settings.mlflow.poll_seconds, now, self._succeeded_at, found)
        try:
            write_status(self._workspace.policies, status)
        except OSError as error:
            logger.warning("%s: the status cannot be written: %s", self._workspace.policies, error.strerror)

    def _ask(self) -> dict[str, str]:
        self._catalogs.refresh()
        try:
            syncing = self._opened()
            if syncing is not None:
                syncing.registry.check()
        except SmallyesError as error:
            return {_ALL: str(error)}
        troubles: dict[str, str] = {}
        if syncing is None:
            return troubles
        for journey in self._catalogs.catalogs:
            try:
                if syncing.sync(journey):
                    logger.info("%s: what is live changed", journey)
            except SmallyesError as error:
                troubles[journey] = str(error)
            except OSError as error:
                troubles[journey] = f"{error.filename or self._workspace.policies}: {error.strerror or error}"
        texts = set(troubles.values())
        return {_ALL: texts.pop()} if len(texts) == 1 < len(troubles) else troubles

    def _opened(self) -> Syncing | None:
        """What syncs, once there is something to follow."""
        if self._syncing is not None:
            return self._syncing
        if not is_worth_following(self._workspace.mlflow_file, self._workspace.mlflow_artifacts):
            return None
        self._syncing = Syncing(Registry.open(self._workspace), self._workspace.policies)
        return self._syncing


def leave_with(parent: int) -> None:
    """Ends this process soon after ``parent`` is not its parent any more, whatever it is doing then."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_PAUSE_S)
        os._exit(0)

    threading.Thread(target=watch, daemon=True, name="smallyes-parent").start()


def main(arguments: list[str] | None = None) -> int:
    """Follows the registry until the parent is gone or this process is told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m policy.polling", description=__doc__)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="Leave once this is not the parent any more.")
    leave_with(parser.parse_args(arguments).parent)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # nothing is ever half-written
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to everybody; the service decides when to stop
    logging.basicConfig(level=logging.INFO, format="%(asctime)s [%(levelname)s] [poller] %(message)s")
    if importlib.util.find_spec("mlflow") is None:
        logger.warning(
            "mlflow is not installed here: promotions in the registry are not followed; "
            "install mlflow, or write bundles and pointers by other means (smallyes pull on a machine that has it)"
        )
        return NO_MLFLOW
    named = os.environ.get(WORKSPACE_VARIABLE)
    try:
        workspace = find_workspace(Path.cwd(), os.environ, {}, explicit=Path(named) if named else None)
    except SmallyesError as error:
        logger.error("%s", error)
        return 2
    poller = Poller(workspace)
    while True:
        started = time.monotonic()
        poller.look()
        time.sleep(max(0.05, workspace.settings.mlflow.poll_seconds - (time.monotonic() - started)))


if __name__ == "__main__":
    sys.exit(main())
