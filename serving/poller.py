"""Who keeps the poller of the model registry running: one worker per host, and the next one when that is gone."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from data.workspace import Workspace
from policy.launching import environment
from policy.mlflow_file import is_worth_following
from policy.poller_status import LOCK_FILE, STATUS_FILE

_NO_MLFLOW: Final = 69
_PAUSE_S: Final = 0.5
_LONGEST_LOOK_S: Final = 5.0
_LONG_ENOUGH_S: Final = 60.0
_LONGEST_WAIT_S: Final = 60.0
_WAIT_WITHOUT_MLFLOW_S: Final = 600.0

logger = logging.getLogger("smallyes.registry")


class PollerKeeper:
    """Tries for the host's lock; whoever holds it starts the poller, and starts it again when it dies.

    All of it happens in a thread of its own: the service neither waits for the registry nor fails without it.

    Args:
        workspace: whose registry is followed.
        program: the poller's command line, without the interpreter.
    """

    def __init__(self, workspace: Workspace, program: tuple[str, ...] = ("-P", "-m", "policy.polling")) -> None:
        self._workspace = workspace
        self._policies = workspace.policies
        self._program = program
        self._environment: Mapping[str, str] = {**os.environ, **environment(workspace), "PYTHONPATH": _path()}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="smallyes-poller")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The poller's process, where this keeper runs it now."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> None:
        """Begins to keep."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the poller, where it is ours, and lets the next keeper have the lock."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _keep(self) -> None:
        try:
            lock = self._locked()
            if lock is not None:
                with lock:
                    (self._policies / STATUS_FILE).unlink(missing_ok=True)  # of a service that is gone
                    self._await_work()
                    self._run()
        except OSError as error:
            logger.warning("%s: promotions are not followed: %s", self._policies, error.strerror or error)

    def _locked(self) -> IO[str] | None:
        """The lock's open file, once it is ours; ``None``: it is time to stop."""
        self._policies.mkdir(parents=True, exist_ok=True)
        lock = (self._policies / LOCK_FILE).open("a")
        while not self._is_over.is_set():
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._is_over.wait(_PAUSE_S)
            else:
                return lock
        lock.close()
        return None

    def _await_work(self) -> None:
        """Until a policy was registered, a poller would be a process for nothing."""
        workspace = self._workspace
        pause_s = min(workspace.settings.mlflow.poll_seconds, _LONGEST_LOOK_S)
        while not is_worth_following(workspace.mlflow_file, workspace.mlflow_artifacts):
            if self._is_over.wait(pause_s):
                return

    def _run(self) -> None:
        n_deaths = 0
        while not self._is_over.is_set():
            started = time.monotonic()
            code = self._run_once()
            if self._is_over.is_set():
                return
            n_deaths = 1 if time.monotonic() - started > _LONG_ENOUGH_S else n_deaths + 1
            wait_s = min(0.5 * 2 ** (n_deaths - 1), _LONGEST_WAIT_S)
            if code == _NO_MLFLOW:  # it has said so itself
                wait_s = _WAIT_WITHOUT_MLFLOW_S
            else:
                logger.warning("the poller of the registry ended with %s; it is started again in %g s", code, wait_s)
            self._is_over.wait(wait_s)

    def _run_once(self) -> int:
        """Starts the poller and waits for its end, or ends it when it is time to stop; its exit code."""
        arguments = [sys.executable, *self._program, "--parent", str(os.getpid())]
        self._process = process = subprocess.Popen(  # noqa: S603 - our own program
            arguments, env=self._environment, stdin=subprocess.DEVNULL
        )
        while not self._is_over.is_set():
            try:
                return process.wait(_PAUSE_S)
            except subprocess.TimeoutExpired:
                continue
        process.terminate()
        try:
            return process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _path() -> str:
    """Where the poller finds our code, which is not installed where the service runs from a Bento."""
    code = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(part for part in (code, os.environ.get("PYTHONPATH", "")) if part)
