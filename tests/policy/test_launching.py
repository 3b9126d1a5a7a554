from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from data.settings import load_settings
from data.workspace import Workspace, open_workspace
from policy.launching import SERVICE, command, is_loopback


def _workspace(root: Path, **flags: object) -> Workspace:
    (root / "smallyes.toml").touch()
    return open_workspace(root, {}, {name.replace("__", "."): value for name, value in flags.items()})


def test_the_service_is_started_with_this_interpreter(tmp_path: Path) -> None:
    arguments, _ = command(_workspace(tmp_path))
    assert arguments[0] == sys.executable
    assert SERVICE in arguments


def test_address_and_port_go_along(tmp_path: Path) -> None:
    arguments, _ = command(_workspace(tmp_path, serve__host="localhost", serve__port=8080))
    options = dict(zip(arguments[-6::2], arguments[-5::2], strict=True))
    assert (options["--host"], options["--port"]) == ("127.0.0.1", "8080")


def test_settings_arrive_as_they_were_given(tmp_path: Path) -> None:
    given = _workspace(
        tmp_path, serve__workers=3, serve__deadline_ms=400, serve__cors_origins=("https://a", "https://b")
    )
    _, environment = command(given)
    assert load_settings(None, environment, {}).serve == given.settings.serve
    assert load_settings(None, environment, {}).store.url == given.store_url


def test_the_framework_gets_a_home_of_its_own_and_is_told_the_workers(tmp_path: Path) -> None:
    _, environment = command(_workspace(tmp_path, serve__port=8080, serve__workers=2))
    assert environment["BENTOML_HOME"] == str(tmp_path / "var" / "bentoml" / "8080")
    assert "services.smallyes.workers=2 " in environment["BENTOML_CONFIG_OPTIONS"]
    assert environment["BENTOML_DO_NOT_TRACK"] == environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_secret_is_there_before_any_worker_is(tmp_path: Path) -> None:
    command(_workspace(tmp_path))
    assert (tmp_path / "var" / "secret").exists()


def test_no_secret_is_put_into_the_environment(tmp_path: Path) -> None:
    _, environment = command(_workspace(tmp_path, secret="hush"))
    assert "hush" not in os.pathsep.join(environment.values())


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.1", False),
        ("::ffff:10.0.0.1", False),
        ("shop.example", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local
