"""How the service is started: its command line and environment. Only text; nothing of the server is imported."""

from __future__ import annotations

import ipaddress
import math
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

from data.settings import ServeSettings, environment_name
from data.workspace import Workspace

SERVICE: Final = "serving.service:SmallYes"
SERVICE_NAME: Final = "smallyes"
WORKSPACE_VARIABLE: Final = "SMALLYES_WORKSPACE"
_BACKSTOP_S: Final = 0.6
"""How much later than our own deadline the server's own time limit strikes; it leaves without our error shape."""


def command(workspace: Workspace) -> tuple[list[str], dict[str, str]]:
    """The program with its arguments, and what to add to the environment, that serve a workspace.

    The first argument is the absolute path of this interpreter. Settings that came from flags go along.

    Raises:
        BadInput: the workspace's secret cannot be read or made.
    """
    serve = workspace.settings.serve
    # All workers must sign with the same secret, so that it is made before the first one starts.
    workspace.secret()
    arguments = [sys.executable, "-P", "-m", "bentoml", "serve", SERVICE]
    arguments += ["--host", _address(serve.host), "--port", str(serve.port)]
    # Not the workspace: a folder of the site called ``data`` must not stand before ours.
    arguments += ["--working-dir", str(Path(__file__).resolve().parents[1])]
    return arguments, environment(workspace)


def environment(workspace: Workspace) -> dict[str, str]:
    """What the processes of a service need in their environment.

    Each service has a ``BENTOML_HOME`` of its own: at every start BentoML empties the folder in it through which its
    workers share their metrics.
    """
    settings = workspace.settings
    home = workspace.var / "bentoml" / str(settings.serve.port)
    given = {
        "store.url": workspace.store_url,
        "store.sync": settings.store.sync,
        "mlflow.uri": workspace.mlflow_uri,
        "mlflow.poll_seconds": str(settings.mlflow.poll_seconds),
        **{f"serve.{name}": _text(getattr(settings.serve, name)) for name in ServeSettings.model_fields},
    }
    return {
        **{environment_name(name): value for name, value in given.items()},
        WORKSPACE_VARIABLE: str(workspace.root),
        "BENTOML_HOME": str(home),
        "BENTOML_CONFIG_OPTIONS": (
            f"services.{SERVICE_NAME}.workers={settings.serve.workers} "
            f"services.{SERVICE_NAME}.traffic.timeout={backstop_s(settings.serve.deadline_ms)}"
        ),
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def backstop_s(deadline_ms: int) -> float:
    """The server's own time limit for a request, in seconds.

    Example:
        >>> backstop_s(900)
        1.5
    """
    return math.ceil(deadline_ms / 100) / 10 + _BACKSTOP_S


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine only.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::ffff:127.0.0.1"), is_loopback("0.0.0.0")
        (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback if mapped is None else mapped.is_loopback


def _address(host: str) -> str:
    """The server listens on addresses, not on names."""
    return "127.0.0.1" if host == "localhost" else host


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
