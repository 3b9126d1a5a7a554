"""The tutorial "Your own site in an hour", typed as it stands beside a real service, says what it is said to say."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT, Block, blocks

PAGE = ROOT / "docs" / "your-own-site.md"
KEY = re.compile(r"sy_(site|server|read)_[\w-]{20,}")
_NUMBER = re.compile(r"[+-]?\d[\d,.]*")


@dataclass
class Walk:
    """A reader's terminal: a shell whose folder and variables last, and a service on a port of its own."""

    folder: Path
    port: int
    environment: dict[str, str]
    keys: dict[str, str] = field(default_factory=dict)
    said: list[tuple[Block, str]] = field(default_factory=list)
    service: subprocess.Popen[bytes] | None = None

    def type(self, block: Block) -> None:
        """Runs a block's lines as they stand, but for port and keys; ``smallyes serve`` goes on in the background."""
        text = block.text.replace("localhost:3000", f"127.0.0.1:{self.port}")
        for role, key in self.keys.items():
            text = text.replace(f"sy_{role}_...", key)
        if text == "smallyes serve\n":
            self._serve()
            return
        out = self._run(text, block)
        self.keys |= {match[1]: match[0] for match in KEY.finditer(out)}
        self.said.append((block, out))

    def output_of(self, line: str) -> str:
        """What the block with this line answered."""
        return next(out for block, out in self.said if line in block.text)

    def call(self, path: str, role: str, body: object = None) -> Any:
        """One request to the service."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.keys[role]}"}
        given = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", given, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def wait(self, is_so: Any, seconds: float = 60) -> None:
        """Waits as a reader does whom the page tells "within seconds"."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if is_so():
                return
            time.sleep(0.2)
        raise AssertionError(f"not so within {seconds} s")

    def _run(self, text: str, block: Block) -> str:
        state = self.folder.parent / "state"
        before = f"source '{state}'\n" if state.exists() else ""
        after = f"\n{{ echo cd \"'$PWD'\"; export -p; }} > '{state}'"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", before + text + after],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{text}\n{done.stdout}"
        return done.stdout

    def _serve(self) -> None:
        log = self.folder / "service.log"
        with log.open("wb") as out:
            self.service = subprocess.Popen(
                ["bash", "-c", "cd school && exec smallyes serve"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.wait(lambda: self._is_ready(log), 120)

    def _is_ready(self, log: Path) -> bool:
        assert self.service is not None
        assert self.service.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def close(self) -> None:
        """Ends the service, and nothing else."""
        if self.service is None:
            return
        self.service.terminate()
        try:
            self.service.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.service.pid, signal.SIGKILL)
            self.service.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _follow(walk: Walk, block: Block) -> None:
    """After a change of what is live, waits until the service serves it, as the page tells the reader to."""
    if "smallyes init" in block.text:
        # The draws are then the same every time.
        (walk.folder / "school" / "var" / "secret").write_text("0123456789abcdef" * 4, encoding="utf-8")
    if "--trial 0.5" in block.text:
        walk.wait(lambda: _live(walk)["challenger"] is not None)
    if "--force" in block.text:
        walk.wait(lambda: _live(walk)["champion"] is not None)
    if "cat >> journeys/courses.yaml" in block.text:
        walk.wait(lambda: "study_group" in _ids(walk.call("/v1/journeys/courses", "read")))


def _live(walk: Walk) -> Any:
    return walk.call("/v1/policy", "read")["journeys"]["courses"]


def _ids(catalog: Any) -> list[str]:
    return [ask["id"] for ask in catalog["asks"]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The whole page, typed from top to bottom once."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("the tutorial needs bash and curl")
    folder, port = tmp_path_factory.mktemp("tutorial") / "home", _free_port()
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMALLYES_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {"SMALLYES_SERVE_PORT": str(port), "COLUMNS": "120"}
    typed = Walk(folder, port, environment)
    try:
        for block in blocks(PAGE, "sh"):
            typed.type(block)
            _follow(typed, block)
        yield typed
    finally:
        typed.close()


def masked(text: str) -> str:
    """Output on one line, without what differs from run to run: numbers, keys, folders, a verdict's reasons, frames."""
    text = " ".join(re.sub("[━┏┓┗┛┡┩╇┳┃│├┤└┘─┴┼]", " ", text).split())
    text = re.sub(r"\S*/(?=school/)", "", KEY.sub("sy_\\1_...", text))
    text = re.sub(r"(?<=Its id is )[0-9a-f]{8}", "#", text)
    text = re.sub(r"(?i)(not enough evidence|better|worse): .*?(?= A trial with a share| Back with:)", r"\1", text)
    return _NUMBER.sub("#", text)


def claims(page: Path) -> list[tuple[Block, Block]]:
    """Each block of output with the commands above it."""
    shown = blocks(page, "sh", "")
    return [(typed, said) for typed, said in pairwise(shown) if (typed.info, said.info) == ("sh", "")]


TYPED = {said.line: (typed, said) for typed, said in claims(PAGE)}


def test_every_output_belongs_to_commands() -> None:
    assert len(TYPED) == len(blocks(PAGE, "")) >= 8


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("line", sorted(TYPED))
def test_outputs_are_those_of_the_page(walk: Walk, line: int) -> None:
    typed, said = TYPED[line]
    (real,) = (masked(out) for block, out in walk.said if block.line == typed.line)
    shown = [masked(part) for part in re.split(r"^\.\.\.$", said.text, flags=re.MULTILINE) if part.strip()]
    assert shown
    assert [part for part in shown if part not in real] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_answers_of_the_service_are_those_of_the_page(walk: Walk) -> None:
    (example,) = blocks(PAGE, "json")
    assert json.loads(walk.output_of('"type": "converted"')) == json.loads(example.text)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_both_arms_of_the_trial_serve_before_the_champion_does(walk: Walk) -> None:
    trial, after = walk.output_of("visitors.py second"), walk.output_of("visitors.py third")
    policy = json.loads(trial.splitlines()[-1])["journeys"]["courses"]
    assert (policy["champion"], policy["challenger"]["version"], policy["challenger"]["share"]) == (None, "1", 0.5)
    assert "'challenger': " in trial
    assert "'baseline': " in trial
    assert "'champion': " in after
    assert "'challenger': " not in after


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_in_the_end_day_zero_serves_and_tries_the_new_ask(walk: Walk) -> None:
    decision = json.loads(walk.output_of("newcomer-1"))
    chances = {one["ask_id"]: one["propensity"] for one in decision["candidates"]}
    assert decision["policy"]["name"] == "baseline"
    # The exploration of day zero, 0.5, is spread evenly; the rest goes to the page's own order.
    assert chances["study_group"] == pytest.approx(0.5 / len(chances))
    assert chances["level_test"] == pytest.approx(0.5 / len(chances) + 0.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_browsers_on_the_page_s_origin_may_call(walk: Walk) -> None:
    assert allowed_origin(walk, "http://localhost:8000") == "http://localhost:8000"
    assert allowed_origin(walk, "http://elsewhere.example") is None


def allowed_origin(walk: Walk, origin: str) -> str | None:
    """What a browser learns before it sends the page's request."""
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    url = f"http://127.0.0.1:{walk.port}/v1/next-ask"
    with urllib.request.urlopen(urllib.request.Request(url, headers=asks, method="OPTIONS"), timeout=20) as answer:
        allowed: str | None = answer.headers.get("access-control-allow-origin")
        return allowed


BROWSER = r"""
const fs = require("fs"), vm = require("vm");
const script = /<script>([\s\S]*)<\/script>/.exec(fs.readFileSync("page.html", "utf8"))[1];
const element = () => ({
  children: [],
  append(...made) { this.children.push(...made); },
  replaceChildren() { this.children = []; },
});
const place = element(), kept = {}, listeners = {}, asked = [], beacons = [], location = {};
const sendBeacon = (url, body) => beacons.push(
  fetch(url, {method: "POST", headers: {"Content-Type": "text/plain"}, body}).then((answer) => answer.json()));
const world = {
  location,
  navigator: {userAgent: "Mobi", sendBeacon},
  localStorage: {getItem: (name) => kept[name] ?? null, setItem: (name, value) => { kept[name] = value; }},
  document: {getElementById: () => place, createElement: element},
  addEventListener: (name, listener) => { listeners[name] = listener; },
  fetch: async (url, request) => {
    const response = await fetch(url, request);
    if (url.endsWith("/v1/next-ask")) asked.push(await response.clone().json());
    return response;
  },
};
const until = async (isSo) => {
  for (let n = 0; !isSo(); n++) {
    if (n > 400) throw new Error("nothing happened");
    await new Promise((go) => setTimeout(go, 50));
  }
};
const buttons = () => place.children.filter((one) => one.onclick);
(async () => {
  vm.runInNewContext(script, world);
  for (const n of [1, 2, 3]) {
    await until(() => asked.length === n && buttons().length);
    if (n === 3) break;
    const isGoal = asked[n - 1].ask.id === "book_course";
    const chosen = buttons().at(isGoal ? -1 : 0);
    place.children = [];
    chosen.onclick();
  }
  listeners.pagehide();
  world.yes({ask: {id: "book_course"}, progress: {goal: "book_course"}, visitor_id: "v", decision_id: "d"});
  console.log(JSON.stringify({asked, beacons: await Promise.all(beacons), href: location.href}));
})();
"""
"""The few things of a browser that the page needs, around its own script and real requests."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_asks_answers_and_says_when_it_was_left(walk: Walk) -> None:
    if shutil.which("node") is None:
        pytest.skip("the page's script needs node")
    done = subprocess.run(
        ["node", "-e", BROWSER], cwd=walk.folder / "school", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    visitors = {decision["visitor_id"] for decision in told["asked"]}
    assert len(visitors) == 1
    statuses = [walk.call(f"/v1/decisions/{one['decision_id']}", "read")["status"] for one in told["asked"]]
    said = ["declined" if one["ask"]["id"] == "book_course" else "accepted" for one in told["asked"]]
    assert statuses == [*said[:2], "ignored"]
    assert [beacon["accepted"] for beacon in told["beacons"]] == [1]
    assert told["href"] == "/book?visitor=v&decision=d"
