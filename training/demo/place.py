"""Where the demo lives: a workspace of its own with the journey of the demo, and a port for its service."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from data.clock import now, to_datetime
from data.errors import BadInput, Unavailable
from data.settings import PREFIX
from data.workspace import SETTINGS_FILE, Workspace, open_workspace
from training.demo.world import catalog_text

PORT: Final = 3000
N_PORTS: Final = 100
"""How many ports are tried, from the usual one on."""
BYTES_A_VISITOR: Final = 12_000
"""What the store keeps of a visitor, with its write-ahead log."""
BYTES_ANYWAY: Final = 300_000_000
"""Registry, bundles, and room to work."""

_SETTINGS: Final = """\
# The demo's workspace; see docs/settings.md for everything that can be set.
[serve]
port = {port}
poll_seconds = 0.5
deadline_ms = 5000

[mlflow]
poll_seconds = 1.0
"""


def make_place(folder: Path, port: int, seed: int, n_visitors: int) -> Workspace:
    """A new workspace.

    The secret follows from the seed, so that the past of a demo is repeatable; the service of a demo is for this
    machine alone and keeps nobody's data.

    Args:
        folder: made here; must be absent or empty.
        port: of the service.
        seed: of the demo.
        n_visitors: that its store will have to hold.

    Raises:
        BadInput: the folder is in use.
        Unavailable: there is too little space.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder}: the demo makes a workspace of its own and needs a new or an empty folder")
    var = folder / "var"
    var.mkdir(parents=True, exist_ok=True)
    check_space(folder, n_visitors)
    (folder / "journeys").mkdir(exist_ok=True)
    (folder / "journeys" / "skincare.yaml").write_text(catalog_text(), encoding="utf-8")
    (folder / ".gitignore").write_text("var/\n", encoding="utf-8")
    secret = var / "secret"
    secret.touch(mode=0o600)
    secret.write_text(hashlib.sha256(f"smallyes demo {seed}".encode()).hexdigest(), encoding="utf-8")
    (folder / SETTINGS_FILE).write_text(_SETTINGS.format(port=port), encoding="utf-8")
    return open_workspace(folder, {}, {})


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without settings of smallyes, which are meant for another workspace.

    Example:
        >>> own_environment({"HOME": "/root", "SMALLYES_STORE_URL": "sqlite:///shop.db"})
        {'HOME': '/root'}
    """
    return {name: value for name, value in environment.items() if not name.startswith(PREFIX)}


def default_folder(under: Path) -> Path:
    """A folder that does not exist yet, named by the time."""
    stamp = f"{to_datetime(now()):%Y%m%d-%H%M%S}"
    names = (f"demo-{stamp}", *(f"demo-{stamp}-{number}" for number in range(2, 1_000)))
    return next(under / "var" / name for name in names if not (under / "var" / name).exists())


def check_space(folder: Path, n_visitors: int) -> None:
    """Tells early what would fail late.

    Raises:
        Unavailable: there is too little space.
    """
    needed, free = BYTES_ANYWAY + n_visitors * BYTES_A_VISITOR, shutil.disk_usage(folder).free
    if free < needed:
        raise Unavailable(
            f"{folder}: the demo needs about {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there; "
            "make room, name another folder with --dir, or send fewer with --visitors"
        )


def choose_port(wanted: int | None) -> int:
    """The port for the service: the one that was asked for, else 3000, else the next free one; 0: any free one.

    Raises:
        Unavailable: it is taken, or all of them are.
    """
    if wanted is not None:
        found = _bound(wanted)
        if found is None:
            raise Unavailable(
                f"--port: {wanted} is taken by another program; choose another one, or 0 for any free one"
            )
        return found
    for port in range(PORT, PORT + N_PORTS):
        if _bound(port) is not None:
            return port
    raise Unavailable(f"the ports {PORT} to {PORT + N_PORTS - 1} are all taken; choose another one with --port")


def shown_path(path: Path) -> str:
    """A path as one would type it here."""
    text = os.path.relpath(path)
    return str(path) if text.startswith("..") else text


def _bound(port: int) -> int | None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    except OSError:
        return None
