"""``smallyes serve``: the HTTP service, in the foreground."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

import click

from data.errors import BadInput, Unavailable
from data.settings import environment_name
from data.workspace import Workspace
from policy.launching import is_loopback
from training.cli.context import Session, common_options, examples, opened_store


@click.command("serve", epilog=examples("smallyes serve", "smallyes serve --port 8080 --workers 2"))
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on [default: 3000].")
@click.option("--workers", type=int, help="Worker processes [default: 1].")
@common_options
def command(session: Session, host: str | None, port: int | None, workers: int | None) -> None:
    """Answer next-ask requests over HTTP until stopped."""
    workspace = session.workspace(serve__host=host, serve__port=port, serve__workers=workers)
    check_address(workspace)
    check_port(workspace)
    from policy.launching import command as service_command

    arguments, environment = service_command(workspace)
    os.chdir(workspace.root)
    os.execve(arguments[0], arguments, {**os.environ, **environment})  # noqa: S606 - becomes the service


def check_address(workspace: Workspace) -> None:
    """Refuses to listen beyond this machine while anybody could do everything.

    Raises:
        BadInput: the host is no address, or it is not loopback and there is no valid key.
    """
    host = workspace.settings.serve.host
    if not is_address(host):
        raise BadInput(
            f"serve.host: is no address of this machine; received {host!r}; "
            "allowed: 127.0.0.1 (this machine only), 0.0.0.0 (every network), or another IP address"
        )
    if is_loopback(host):
        return
    with opened_store(workspace) as store:
        keys = store.keys()
        if any(not record.revoked_at for record in keys):
            return
    raise BadInput(
        f"serve.host: {host} can be reached from other machines, and without keys everybody may do everything; "
        "make a key first: smallyes keys add --role server"
    )


def check_port(workspace: Workspace) -> None:
    """Tells early, and in a sentence, what the server would tell in a traceback.

    Raises:
        BadInput: the address is none of this machine's.
        Unavailable: the port cannot be had now.
    """
    serve = workspace.settings.serve
    host = "127.0.0.1" if serve.host == "localhost" else serve.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, serve.port))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise BadInput(f"serve.host: {host} is no address of this machine") from None
        problem = (
            "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        )
        raise Unavailable(
            f"serve.port: {serve.port} {problem}; choose another one with --port, {environment_name('serve.port')} "
            "or in smallyes.toml"
        ) from None


def is_address(host: str) -> bool:
    """Whether the server can be told to listen there: an IP address, or ``localhost``.

    Example:
        >>> is_address("0.0.0.0"), is_address("localhost"), is_address("shop.example")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
