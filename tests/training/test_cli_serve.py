"""``smallyes serve`` refuses what cannot work before anything is started."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data.workspace import Workspace
from tests.conftest import Answer

Smallyes = Callable[..., Answer]


class Started(BaseException):
    """Raised in place of becoming the service."""


@pytest.fixture
def became(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process would have become: program, arguments, environment."""
    calls: list[Any] = []

    def execve(*arguments: Any) -> None:
        calls.append(arguments)
        raise Started

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(os, "chdir", lambda _folder: None)
    return calls


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def served(smallyes: Smallyes, *options: object) -> None:
    with pytest.raises(Started):
        smallyes("serve", *options)


def test_flags_reach_the_service(smallyes: Smallyes, became: list[Any], workspace: Workspace, free_port: int) -> None:
    served(smallyes, "--port", free_port, "--workers", 2)
    ((_, arguments, environment),) = became
    assert arguments[arguments.index("--port") + 1] == str(free_port)
    assert environment["SMALLYES_SERVE_WORKERS"] == "2"
    assert environment["SMALLYES_WORKSPACE"] == str(workspace.root)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_alone_needs_no_key(smallyes: Smallyes, became: list[Any], free_port: int, host: str) -> None:
    served(smallyes, "--port", free_port, "--host", host)
    assert len(became) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7"])
def test_other_machines_need_a_key(smallyes: Smallyes, became: list[Any], host: str) -> None:
    answer = smallyes("serve", "--host", host)
    assert answer.code == 2
    assert "without keys everybody may do everything" in answer.err
    assert "smallyes keys add --role server" in answer.err
    assert became == []


def test_with_a_key_other_machines_may_come(smallyes: Smallyes, became: list[Any], free_port: int) -> None:
    smallyes("keys", "add", "--role", "server")
    served(smallyes, "--host", "0.0.0.0", "--port", free_port)


def test_a_revoked_key_is_no_key(smallyes: Smallyes, became: list[Any]) -> None:
    key_id = smallyes("keys", "add", "--role", "server", "--json").json["key_id"]
    smallyes("keys", "revoke", key_id)
    assert smallyes("serve", "--host", "0.0.0.0").code == 2


def test_a_name_is_no_address(smallyes: Smallyes, became: list[Any]) -> None:
    answer = smallyes("serve", "--host", "shop.example")
    assert answer.code == 2
    assert "received 'shop.example'" in answer.err


def test_an_address_of_another_machine_is_refused(smallyes: Smallyes, became: list[Any]) -> None:
    smallyes("keys", "add", "--role", "server")
    answer = smallyes("serve", "--host", "192.0.2.1")
    assert answer.code == 2
    assert "192.0.2.1 is no address of this machine" in answer.err


def test_a_taken_port_is_told_in_a_sentence(smallyes: Smallyes, became: list[Any], taken_port: int) -> None:
    answer = smallyes("serve", "--port", taken_port)
    assert answer.code == 3
    assert f"{taken_port} is taken by another program; choose another one with --port" in answer.err
    assert became == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", 0), "--port: should be greater than or equal to 1; received 0"),
        (("--port", 70_000), "--port: should be less than or equal to 65535; received 70000"),
        (("--workers", 0), "--workers: should be greater than or equal to 1; received 0"),
        (("--port", "http"), "'http' is not a valid integer"),
    ],
)
def test_impossible_numbers_are_refused(
    smallyes: Smallyes, became: list[Any], options: tuple[object, ...], said: str
) -> None:
    answer = smallyes("serve", *options)
    assert answer.code == 2
    assert said in answer.err


def test_a_secret_that_cannot_be_read_is_told(
    smallyes: Smallyes, became: list[Any], workspace: Workspace, free_port: int
) -> None:
    (workspace.var / "secret").write_text("")
    answer = smallyes("serve", "--port", free_port)
    assert answer.code == 2
    assert "the workspace's secret is empty; restore it" in answer.err
    assert Path("var/secret").exists()
