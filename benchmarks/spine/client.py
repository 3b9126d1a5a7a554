"""A lean HTTP/1.1 client for loopback load: keep-alive connections, prepared bodies, nothing parsed but the length."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Load:
    """What a load run saw; times in microseconds. ``cpu_us`` is the server's, per request."""

    n: int
    seconds: float
    p50_us: float
    p99_us: float
    cpu_us: float
    n_failed: int

    @property
    def per_second(self) -> float:
        return self.n / self.seconds

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.n} | {self.per_second:,.0f} | {self.cpu_us:.0f} | {self.p50_us:,.0f} | "
            f"{self.p99_us:,.0f} | {self.n_failed} |"
        )


HEADER = (
    "| what | requests | requests/s | server CPU us/request | p50 us | p99 us | failed |\n|---|---|---|---|---|---|---|"
)


def post(path: str, body: bytes) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def load(port: int, requests: Sequence[bytes], n_connections: int, pid: int) -> Load:
    """Sends all requests over some connections, each waiting for its answer before the next."""
    before = cpu_seconds(pid)
    started = time.perf_counter()
    latencies, n_failed = asyncio.run(_run(port, requests, n_connections))
    seconds = time.perf_counter() - started
    cpu = cpu_seconds(pid) - before
    latencies.sort()
    n = len(latencies)
    return Load(
        n=n,
        seconds=seconds,
        p50_us=latencies[n // 2] * 1e6,
        p99_us=latencies[int(n * 0.99)] * 1e6,
        cpu_us=cpu / n * 1e6,
        n_failed=n_failed,
    )


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all below it."""
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system
    return total


async def _run(port: int, requests: Sequence[bytes], n_connections: int) -> tuple[list[float], int]:
    todo = iter(requests)
    latencies: list[float] = []
    failures = await asyncio.gather(*(_connection(port, todo, latencies) for _ in range(n_connections)))
    return latencies, sum(failures)


async def _connection(port: int, todo: Iterator[bytes], latencies: list[float]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    n_failed = 0
    for request in todo:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
        n_failed += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    return n_failed
