"""A real service in processes of its own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from data.workspace import Workspace
from policy.launching import command
from tests.serving.shops import make_workspace

READY_S = 90.0
POLLER = "policy.polling"


class Service:
    """A started service; ``log`` is the file of what its processes say."""

    def __init__(self, workspace: Workspace, process: subprocess.Popen[bytes], log: Path) -> None:
        self.workspace = workspace
        self.process = process
        self.log = log
        self._known: set[psutil.Process] = set()
        self.url = f"http://127.0.0.1:{workspace.settings.serve.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.workspace.settings.serve.port

    def client(self) -> httpx.Client:
        """A client with connections of its own."""
        return httpx.Client(base_url=self.url, timeout=10.0)

    def wait(self, is_so: Callable[[httpx.Client], bool], seconds: float = READY_S) -> float:
        """Seconds until something is so."""
        started = time.monotonic()
        with self.client() as client:
            while time.monotonic() - started < seconds:
                assert self.process.poll() is None, self.log.read_text()
                with contextlib.suppress(httpx.TransportError):
                    if is_so(client):
                        return time.monotonic() - started
                time.sleep(0.05)
        raise AssertionError(f"not so within {seconds} s\n{self.log.read_text()}")

    def wait_ready(self) -> float:
        """Seconds until every worker that answers is ready."""
        return self.wait(lambda client: client.get("/readyz").status_code == 200)

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in found if POLLER not in _arguments(process)]

    def poller(self) -> psutil.Process | None:
        """The process that follows the registry, where there is one now."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return next((process for process in found if POLLER in _arguments(process)), None)

    def stop(self) -> int:
        """Asks it to stop; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Ends every process of it at once, as a machine does that loses its mind.

        Workers lead process groups of their own, so that each is ended by itself; none may outlive the test.
        """
        for _ in range(3):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._known.update(psutil.Process(self.process.pid).children(recursive=True))
            for process in (*self._known,):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        psutil.wait_procs(list(self._known), timeout=10)


def _arguments(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_served_workspace(root: Path, *catalogs: str, **settings: object) -> Workspace:
    """A workspace to be served on a free port, followed closely."""
    chosen = {"serve__port": free_port(), "serve__poll_seconds": 0.2, "serve__deadline_ms": 5_000, **settings}
    workspace = make_workspace(root, *catalogs, **chosen)
    (root / "var" / "secret").write_text("a secret of tests\n")
    return workspace


def start(workspace: Workspace, log: Path) -> Service:
    """Starts a service without waiting for it."""
    arguments, environment = command(workspace)
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            env={**os.environ, **environment},
            cwd=workspace.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Service(workspace, process, log)


@contextmanager
def served(workspace: Workspace) -> Iterator[Service]:
    """A ready service, ended at the end whatever happens."""
    service = start(workspace, workspace.root / "service.log")
    try:
        service.wait_ready()
        yield service
    finally:
        try:
            service.stop()
        finally:
            service.kill()


class Traffic:
    """Clients that ask as fast as they are answered, each for visitors of its own, until stopped."""

    def __init__(self, service: Service, n_clients: int = 4) -> None:
        self._service = service
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(n_clients)
        self._clients = [self._pool.submit(self._ask, number) for number in range(n_clients)]
        self.answers: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.failures: list[str] = []

    def stop(self) -> None:
        """Waits for the last answers."""
        self._is_over.set()
        for client in self._clients:
            client.result()
        self._pool.shutdown()

    def _ask(self, number: int) -> None:
        with self._service.client() as client:
            for step in range(1_000_000):
                if self._is_over.is_set():
                    return
                request = {"visitor_id": f"t-{number}-{step // 3}", "decision_id": f"d-{number}-{step}"}
                try:
                    answer = client.post("/v1/next-ask", json=request)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self.answers.append((request, answer.json()))
                else:
                    self.failures.append(answer.text)
