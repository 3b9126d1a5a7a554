"""The service of the demo: a real one in processes of its own, spoken to over HTTP, ended by whoever started it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from data.errors import Unavailable
from data.workspace import Workspace
from policy.launching import command
from training.demo.place import own_environment

READY_S: Final = 90.0
FOLLOWS_S: Final = 30.0
STOP_S: Final = 20.0
REQUEST_S: Final = 10.0
LOG_FILE: Final = "service.log"
_PAUSE_S: Final = 0.1
_TRIES: Final = 5
_BUSY: Final = (429, 503)
_LAST_LINES: Final = 5

Json = dict[str, Any]


class Service:
    """A service on a workspace; use it with ``with``, so that it ends whatever happens.

    Args:
        workspace: what it serves; its log is ``var/service.log`` there.

    Attributes:
        pid: of the process that was started.
        port: where it listens.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._log = workspace.var / LOG_FILE
        self.port = workspace.settings.serve.port
        arguments, environment = command(workspace)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own service
                arguments,
                env={**own_environment(os.environ), **environment},
                cwd=workspace.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def process_ids(self) -> tuple[int, ...]:
        """It and the processes it started, where the system tells."""
        with suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            return (self.pid, *sorted(int(child) for child in children.split()))
        return (self.pid,)

    def check(self) -> None:
        """Nothing, while it runs.

        Raises:
            Unavailable: it has ended; with the last it said.
        """
        code = self._process.poll()
        if code is None:
            return
        ended = f"was ended by signal {-code}" if code < 0 else f"ended by itself with exit code {code}"
        raise Unavailable(f"the service {ended}. The last it said (all of it is in {self._log}): {self._last_words()}")

    def wait_ready(self) -> None:
        """Waits until it can decide.

        Raises:
            Unavailable: it ended, or took too long.
        """
        self._wait("get ready", READY_S, lambda client: client.get("/readyz")[0] == http.HTTPStatus.OK)

    def wait_live(self, journey: str, role: str, version: int) -> None:
        """Waits until it serves a version.

        Args:
            journey: of the version.
            role: champion or challenger.
            version: its number.

        Raises:
            Unavailable: it ended, or took too long.
        """

        def is_live(client: Client) -> bool:
            status, answer = client.get("/v1/policy")
            if status != http.HTTPStatus.OK:
                return False
            served = answer["journeys"].get(journey, {}).get(role)
            return served is not None and served["version"] == str(version)

        self._wait(f"serve version {version}", FOLLOWS_S, is_live)

    def stop(self) -> None:
        """Asks it to finish what runs and leave; ends it where it does not. Workers without it leave by themselves."""
        if not self.is_running:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _wait(self, what: str, seconds: float, is_so: Callable[[Client], bool]) -> None:
        ends_at = time.monotonic() + seconds
        with Client(self, is_patient=False) as client:
            while time.monotonic() < ends_at:
                self.check()
                with suppress(OSError, http.client.HTTPException):
                    if is_so(client):
                        return
                client.close()
                time.sleep(_PAUSE_S)
        raise Unavailable(
            f"the service did not {what} within {seconds:g} s. The last it said (all of it is in {self._log}): "
            f"{self._last_words()}"
        )

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return " / ".join(line.strip() for line in lines[-_LAST_LINES:]) or "nothing"
        return "nothing"


class Client:
    """One connection that is kept; also a site that the simulator's driver can send visitors to.

    Every request of the demo has an id of its own, so that it can be sent again when the answer is lost.

    Args:
        service: who is asked.
        is_patient: whether a request that was not answered is sent again a few times before that is an error.

    Attributes:
        n_requests: sent and answered.
        n_failed: not answered, or with an error, whatever became of it later.
    """

    def __init__(self, service: Service, *, is_patient: bool = True) -> None:
        self._service, self._is_patient = service, is_patient
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=REQUEST_S)
        self.n_requests = self.n_failed = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection up; the next request opens another one."""
        self._connection.close()

    def next_ask(self, request: Json) -> Json:
        """``POST /v1/next-ask``."""
        return self._post("/v1/next-ask", request)

    def outcomes(self, events: list[Json]) -> Json:
        """``POST /v1/outcomes``."""
        return self._post("/v1/outcomes", {"events": events})

    def get(self, path: str) -> tuple[int, Json]:
        """Status and answer; no second try."""
        return self._sent("GET", path, None)

    def _post(self, path: str, content: Json) -> Json:
        body = json.dumps(content).encode()
        for number in range(_TRIES if self._is_patient else 1):
            if number:
                self._service.check()
                time.sleep(_PAUSE_S * number)
            try:
                status, answer = self._sent("POST", path, body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                self.n_failed += 1
                trouble = f"{type(error).__name__}: {error}"
                continue
            if status == http.HTTPStatus.OK:
                self.n_requests += 1
                return answer
            self.n_failed += 1
            trouble = f"{status} {answer.get('error', answer)}"
            if status not in _BUSY:
                break
        self._service.check()
        raise Unavailable(f"the service did not answer POST {path}: {trouble}")

    def _sent(self, method: str, path: str, body: bytes | None) -> tuple[int, Json]:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"error": text[:200].decode(errors="replace")}
        return response.status, answer
