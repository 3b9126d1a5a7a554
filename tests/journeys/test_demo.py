"""``smallyes demo`` from the first visitor to the second version, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from data.errors import Unavailable
from data.stores.registry import open_store
from training.demo.live import N_LANES, send_visitors
from training.demo.place import choose_port, make_place
from training.demo.service import Service
from training.demo.world import quick_world
from training.sources import source_of_store

pytestmark = pytest.mark.slow
SMALLYES = [sys.executable, "-P", "-m", "training.cli"]
WAIT_S = 280.0


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Demos that are ended with everything they started."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        for one in (*processes_in(tmp_path), process):
            with suppress(psutil.Error, ProcessLookupError):
                one.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def start(folder: Path, *options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*SMALLYES, "demo", "--port", "0", "--dir", str(folder), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def processes_in(folder: Path) -> list[psutil.Process]:
    """Processes that work on a workspace below this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            about = [*process.cmdline(), process.cwd(), process.environ().get("SMALLYES_WORKSPACE", "")]
            if process.pid != os.getpid() and any(str(folder) in text for text in about):
                found.append(process)
    return found


def none_left(folder: Path, seconds: float = 10.0) -> bool:
    ends_at = time.monotonic() + seconds
    while processes_in(folder):
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.1)
    return True


def check_side(side: dict[str, Any]) -> None:
    assert 0.0 <= side["low"] <= side["value"] <= side["high"] <= 1.0
    assert side["value"] == pytest.approx(side["converted"] / side["visitors"])


def test_visitors_come_over_http_and_a_killed_service_is_told(tmp_path: Path) -> None:
    place = make_place(tmp_path / "demo", choose_port(0), 0, 100)
    done: list[int] = []
    with Service(place) as service:
        service.wait_ready()
        visits = send_visitors(service, 60, 5, done.append)
        assert (visits.n_failed, visits.n_rejected, done[-1]) == (0, 0, 60)
        os.kill(service.pid, signal.SIGKILL)
        with pytest.raises(
            Unavailable, match=r"the service was ended by signal 9\. The last it said \(all of it is in"
        ):
            send_visitors(service, 2_000, 6, done.append)
        assert not service.is_running
    assert none_left(tmp_path)
    store = open_store(place.store_url)
    try:
        source = source_of_store(store, quick_world().catalog)
    finally:
        store.close()
    owners = source.arrivals.frame.filter(pl.col("type") == "shown")["visitor_id"]
    first = {f"live{lane + 1}-{number:07d}" for lane in range(N_LANES) for number in range(60 // N_LANES)}
    assert first <= set(owners)


def test_the_whole_loop_once(tmp_path: Path, demo: list[subprocess.Popen[str]]) -> None:
    demo.append(start(tmp_path / "demo", "--once", "--json", "--visitors", 2_500, "--live", 300))
    out, told = demo[0].communicate(timeout=WAIT_S)
    assert demo[0].returncode == 0, told
    assert none_left(tmp_path)
    (line,) = out.splitlines()
    result = json.loads(line)
    assert result["versions"] == [1, 2]
    sides = {name: result[name] for name in ("direct", "baseline", "learned")}
    for side in sides.values():
        check_side(side)
    assert 150 < sum(side["visitors"] for side in sides.values()) <= 300
    assert result["live"]["n_failed"] == result["live"]["n_rejected"] == 0
    takeover = result["takeover"]
    assert takeover["version"] == 2
    assert takeover["same_processes"]
    assert takeover["failed"] == 0 < takeover["requests"]
    assert takeover["answered_by"][-1] == "champion:2"
    assert "a purchase counts until 30 s" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 120
    again = subprocess.run(
        [*SMALLYES, "rollback", "--json", "--workspace", str(tmp_path / "demo")], capture_output=True, check=True
    )
    assert json.loads(again.stdout)["previous"] == 2


def test_the_service_runs_on_until_ctrl_c_and_the_printed_lines_work(
    tmp_path: Path, demo: list[subprocess.Popen[str]]
) -> None:
    demo.append(start(tmp_path / "demo", "--visitors", 1_000, "--live", 60))
    assert demo[0].stdout is not None
    lines: list[str] = []
    for line in demo[0].stdout:
        lines.append(line)
        if "Ctrl-C ends it" in line:
            break
    text = "".join(lines).replace("\\\n", " ")
    calls = re.findall(r"^  (curl .*)$", text, re.MULTILINE)
    assert len(calls) == 4, text
    asked, heard, policy, visitor = [json.loads(subprocess.check_output(shlex.split(call))) for call in calls]
    assert asked["visitor_id"] == "you"
    assert asked["candidates"]
    assert heard["accepted"] == 1
    assert policy["journeys"]["skincare"]["champion"]["version"] == "2"
    assert visitor["visitor_id"] == "you"
    demo[0].send_signal(signal.SIGINT)
    assert demo[0].wait(30) == 0
    assert none_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_early_it_leaves_nothing_behind(
    tmp_path: Path, demo: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    demo.append(start(tmp_path / "demo", "--visitors", 50_000))
    assert demo[0].stdout is not None
    for line in demo[0].stdout:
        if line.startswith("1/"):
            break
    children: list[psutil.Process] = []
    while len(children) < 2 and demo[0].poll() is None:
        children = psutil.Process(demo[0].pid).children(recursive=True)
        time.sleep(0.1)
    demo[0].send_signal(number)
    assert demo[0].wait(30) == 130
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert none_left(tmp_path)
