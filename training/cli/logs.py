"""Reading a log for a command: the same options, the same reading, the same words about what was left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from data.clock import from_iso, now
from data.domain import Catalog
from data.errors import BadInput

if TYPE_CHECKING:
    from data.arrivals import Arrivals
    from data.log import Log

F = TypeVar("F", bound=Callable[..., Any])

REASONS: Final = 10
"""Most reasons, or names, that a note lists."""


def log_options(function: F) -> F:
    """Adds ``--log`` (several, globs, folders), ``--map`` and ``--now``."""
    for option in (
        click.option("--now", "now_text", help="Read the log as of this time [default: its latest received_at]."),
        click.option("--map", "mapping", type=click.Path(path_type=Path), help="How to read a log of another system."),
        click.option("--log", "logs", multiple=True, required=True, help="File, glob or folder; may be given again."),
    ):
        function = option(function)
    return function


def instant(text: str | None) -> int | None:
    """The time given with ``--now``.

    Raises:
        BadInput: it is no time.
    """
    if text is None:
        return None
    try:
        return from_iso(text)
    except ValueError:
        raise BadInput(f"--now: {text!r} is no time; allowed: like 2026-11-21 or 2026-11-21T12:00:00Z") from None


def read_arrivals(
    logs: Sequence[str], catalog: Catalog, mapping: Path | None, now_text: str | None
) -> tuple[Log, Arrivals]:
    """A log of the catalog's journey, and its rows in order of arrival.

    Raises:
        BadLog: the log cannot be used.
    """
    from data.arrivals import arrange
    from data.log import read_log

    until = instant(now_text)
    # Rows from the future are refused, unless one asks to look from there.
    present = now() if until is None else max(now(), until)
    log = read_log(logs, journey=catalog.journey, mapping=mapping, now=until, present=present)
    return log, arrange(log.frame, catalog)


def left_out(log: Log, arrivals: Arrivals) -> dict[str, int]:
    """How many rows did not take part, by why."""
    counts = {
        "quarantined": len(log.quarantined),
        "other_journey": log.n_other_journey,
        "after_now": log.n_after_now,
        "ignored_by_map": log.n_ignored,
        "duplicates": arrivals.n_duplicates,
        "set_aside": len(arrivals.set_aside),
    }
    return {name: n for name, n in counts.items() if n}


def tell_left_out(log: Log, arrivals: Arrivals, catalog: Catalog) -> None:
    """Says on standard error what was left out, and which asks the catalog does not know."""
    from data.log import unknown_asks

    for note in log.notes:
        click.echo(f"note: {note}", err=True)
    counts = left_out(log, arrivals)
    if counts:
        parts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
        where = f" (quarantine: {log.quarantine_path})" if log.quarantine_path is not None else ""
        click.echo(f"note: left out of {log.n_read} rows: {parts}{where}", err=True)
        for reason, n in arrivals.set_aside["reason"].value_counts(sort=True).head(3).iter_rows():
            click.echo(f"note: set aside {n}: {reason}", err=True)
    unknown = unknown_asks(log.frame, catalog)
    if unknown:
        names = ", ".join(list(unknown)[:REASONS]) + (
            f" and {len(unknown) - REASONS} more" if len(unknown) > REASONS else ""
        )
        click.echo(f"note: the log names asks that the catalog of {catalog.journey} does not have: {names}", err=True)
