"""``smallyes serve``: the HTTP service, in the foreground."""

from __future__ import annotations

import ipaddress
import os

import click

from data.errors import BadInput
from data.workspace import Workspace
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
    from policy.launching import command as service_command

    arguments, environment = service_command(workspace)
    os.chdir(workspace.root)
    os.execve(arguments[0], arguments, {**os.environ, **environment})  # noqa: S606 - becomes the service


def check_address(workspace: Workspace) -> None:
    """Refuses to listen beyond this machine while anybody could do everything.

    Raises:
        BadInput: the address is not loopback and there is no valid key.
    """
    host = workspace.settings.serve.host
    if is_loopback(host):
        return
    with opened_store(workspace) as store:
        keys = store.keys()
        if any(not record.revoked_at for record in keys):
            return
    raise BadInput(
        f"--host: {host} can be reached from other machines, and without keys everybody may do everything; "
        "make a key first: smallyes keys add --role server"
    )


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine only.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
