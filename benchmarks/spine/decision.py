"""A whole decision (20 asks, 50 past events, guardrails, committed before answered) beside BentoML's own no-op.

The reference is the no-op endpoint of a clean BentoML install (no uvloop, no httptools, default settings) in a
virtual environment of its own, on the same machine in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import httpx
import msgspec

from benchmarks.spine.client import HEADER, Load, load, post
from benchmarks.spine.places import big_catalog, give_past, make_place
from tests.journeys.services import free_port, served

N_VISITORS = 2_000
NO_OP = """
import bentoml
from pydantic import BaseModel

class Request(BaseModel):
    visitor_id: str
    journey: str
    context: dict

@bentoml.service(name="noop", workers=1)
class NoOp:
    @bentoml.api(route="/next-ask")
    async def next_ask(self, request: Request, /) -> dict:
        return {"ask": None}
"""


def run(size: int | None) -> int:
    n = size or 20_000
    requests = [post("/v1/next-ask", _body(i)) for i in range(n)]
    reference = [post("/next-ask", _body(i)) for i in range(n)]
    print(f"Python {sys.version.split()[0]}, bentoml {version('bentoml')}, {n} requests each, one worker\n\n{HEADER}")
    loads: dict[str, Load] = {}
    with tempfile.TemporaryDirectory() as folder:
        with _no_op(Path(folder)) as (port, pid):
            load(port, reference[:2_000], 8, pid)
            for connections in (1, 32):
                name = f"clean BentoML no-op, {connections} connections"
                loads[f"no-op {connections}"] = _say(name, load(port, reference, connections, pid))
        catalog = big_catalog()
        for has_model in (False, True):
            workspace = make_place(Path(folder) / f"place-{has_model}", catalog, has_model=has_model)
            give_past(workspace, catalog, N_VISITORS)
            with served(workspace) as service:
                load(service.port, requests[:2_000], 8, service.process.pid)
                for connections in (1, 32):
                    kind = "constant model" if has_model else "day zero"
                    name = f"whole decision, {kind}, {connections} connections"
                    loads[f"{kind} {connections}"] = _say(
                        name, load(service.port, requests, connections, service.process.pid)
                    )
    for kind in ("day zero", "constant model"):
        cpu = loads["no-op 32"].cpu_us / loads[f"{kind} 32"].cpu_us
        speed = loads[f"{kind} 32"].per_second / loads["no-op 32"].per_second
        print(f"\nwhole decision, {kind}: {speed:.1f} times the no-op's requests/s, {1 / cpu:.2f} of its CPU")
    return int(any(one.n_failed for one in loads.values()))


def _say(name: str, result: Load) -> Load:
    print(result.row(name), flush=True)
    return result


def _body(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "visitor_id": f"v{number % N_VISITORS}",
            "journey": "big",
            "context": {"device": "mobile", "basket_value": 12.5},
        }
    )


@contextmanager
def _no_op(folder: Path) -> Iterator[tuple[int, int]]:
    """The no-op service of a clean install: its port and process."""
    environment = Path.cwd() / "var" / "benchmarks" / f"bentoml-{version('bentoml')}"
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", f"bentoml=={version('bentoml')}"], check=True)
        subprocess.run([str(python), "-m", "pip", "uninstall", "-q", "-y", "uvloop", "httptools"], check=True)
    (folder / "noop.py").write_text(NO_OP)
    port = free_port()
    arguments = [str(python), "-m", "bentoml", "serve", "noop:NoOp", "--host", "127.0.0.1", "--port", str(port)]
    home = {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "true", "PATH": "/usr/bin:/bin"}
    with (folder / "noop.log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=folder, env=home, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)
