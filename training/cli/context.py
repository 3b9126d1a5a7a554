"""What every command shares: its workspace, its journey, how it answers people and machines."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from data.domain import Catalog
from data.errors import BadInput
from data.stores.protocol import Store
from data.workspace import Workspace, find_workspace

F = TypeVar("F", bound=Callable[..., Any])

FILE_WIDTH: Final = 120
"""Columns of output that does not go to a terminal."""
STORE_WAIT_S: Final = 5.0
"""How long a command waits for a store that another process holds; a service gives up much sooner."""


@dataclass(frozen=True)
class Session:
    """The options that every command takes, and what follows from them."""

    folder: Path | None
    journey: str | None
    is_json: bool

    def workspace(self, **flags: object) -> Workspace:
        """The workspace; flags are settings by dotted name with ``__`` for the dot."""
        dotted = {name.replace("__", "."): value for name, value in flags.items()}
        return find_workspace(Path.cwd(), os.environ, dotted, explicit=self.folder)

    def catalog(self, workspace: Workspace) -> Catalog:
        """The journey's catalog: the one named, or the workspace's only one.

        Raises:
            BadInput: there is none, or there are several and none was named.
        """
        from data.catalog import load_folder

        catalogs = load_folder(workspace.journeys)
        if self.journey is not None:
            if self.journey not in catalogs:
                known = ", ".join(sorted(catalogs)) or "none"
                raise BadInput(
                    f"--journey: there is no journey {self.journey!r} in {workspace.journeys}; there are: {known}"
                )
            return catalogs[self.journey]
        if len(catalogs) != 1:
            known = ", ".join(sorted(catalogs)) or "none"
            raise BadInput(f"{workspace.journeys}: has {len(catalogs)} journeys ({known}); name one with --journey")
        return next(iter(catalogs.values()))

    def answer(self, result: dict[str, Any], text: Callable[[Console], None] | str) -> None:
        """Prints the result: JSON for machines, ``text`` for people."""
        if self.is_json:
            click.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))
        elif isinstance(text, str):
            click.echo(text)
        else:
            text(_console())

    @contextmanager
    def progress(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A progress bar on a terminal, nothing elsewhere; call what it gives with the number done so far."""
        if self.is_json or not sys.stderr.isatty():
            yield lambda _done: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(label, total=total)
            yield lambda done: bars.update(task, completed=done)


class _Output(Console):
    """A console that leaves it to the command line what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        """Called by rich, which would end the process with exit code 1."""
        raise BrokenPipeError


def _console() -> Console:
    """Where answers for people go: as wide as the terminal, and wide enough for every table in a file or a pipe."""
    if sys.stdout.isatty():
        return _Output(highlight=False)
    return _Output(highlight=False, soft_wrap=True, width=FILE_WIDTH)


def common_options(function: F) -> F:
    """Adds ``--workspace --journey --json --debug`` and passes a ``Session`` as the first argument."""

    @click.option(
        "--workspace", "folder", type=click.Path(path_type=Path), help="Workspace folder [default: nearest one up]."
    )
    @click.option("--journey", help="Journey [default: the workspace's only one].")
    @click.option("--json", "is_json", is_flag=True, help="Answer in JSON, for machines.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def wrapped(folder: Path | None, journey: str | None, is_json: bool, debug: bool, **options: Any) -> Any:  # noqa: ARG001
        return function(Session(folder, journey, is_json), **options)

    return wrapped  # type: ignore[return-value]


@contextmanager
def opened_store(workspace: Workspace) -> Iterator[Store]:
    """The workspace's store, closed at the end."""
    from data.stores.registry import open_store

    store = open_store(workspace.store_url, sync=workspace.settings.store.sync, busy_timeout_s=STORE_WAIT_S)
    try:
        yield store
    finally:
        store.close()


def examples(*lines: str) -> str:
    """The examples at the end of a command's ``--help``."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
