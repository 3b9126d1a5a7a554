"""Stores by URL scheme.

A new store is one module, one line in ``STORES``, and a pass of ``tests/contracts/test_store_contract.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from data.errors import BadInput
from data.stores.memory import MemoryStore
from data.stores.protocol import Store
from data.stores.sqlite import BUSY_TIMEOUT_S, SqliteStore

Sync = Literal["normal", "full"]
Factory = Callable[[str, Sync, float], Store]
"""Makes a store of a whole URL, the sync setting, and how long to wait for a lock, in seconds."""


def _memory(url: str, sync: Sync, busy_timeout_s: float) -> Store:  # noqa: ARG001
    if url != "memory:":
        raise _bad_url(url, "the memory store has no path")
    return MemoryStore()


def _sqlite(url: str, sync: Sync, busy_timeout_s: float) -> Store:
    prefix = "sqlite:///"
    path = url.removeprefix(prefix)
    if not url.startswith(prefix):
        raise _bad_url(url, "three slashes stand between sqlite: and the path, four where the path is absolute")
    if not path or path.endswith("/") or "\0" in path:
        raise _bad_url(url, "it does not name a file")
    if path == ":memory:":
        raise _bad_url(url, "a store in memory is called memory:")
    return SqliteStore(path, sync=sync, busy_timeout_s=busy_timeout_s)


STORES: Final[Mapping[str, Factory]] = {
    "memory": _memory,
    "sqlite": _sqlite,
}


def open_store(url: str, *, sync: Sync = "normal", busy_timeout_s: float = BUSY_TIMEOUT_S) -> Store:
    """The store a URL names.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``memory:``.
        sync: ``normal`` survives a killed process, ``full`` a power loss too.
        busy_timeout_s: how long a call waits for another process's lock before the store counts as unavailable.

    Raises:
        BadInput: the URL or the sync setting is none of those.
        StoreUnavailable: the store cannot be opened.

    Example:
        >>> open_store("memory:").journeys()
        ()
    """
    if sync not in ("normal", "full"):
        raise BadInput(f"store.sync: is not known; received {sync!r}; allowed: 'normal', 'full'")
    scheme, colon, _ = url.partition(":")
    factory = STORES.get(scheme)
    if not colon or factory is None:
        raise _bad_url(url, f"its scheme is not one of {', '.join(sorted(STORES))}")
    return factory(url, sync, busy_timeout_s)


def _bad_url(url: str, problem: str) -> BadInput:
    return BadInput(
        f"store.url: {problem}; received {url!r}; "
        "allowed: sqlite:///relative/path.db, sqlite:////absolute/path.db, memory:"
    )
