"""``smallyes export``: the store's past as an event log (docs/logs.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from data.domain import Decision, Event
from data.errors import BadInput
from training.cli.context import Session, common_options, examples, opened_store


@click.command("export", epilog=examples("smallyes export --out log.parquet", "smallyes export --out log.csv"))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File: .parquet, .csv or .ndjson.")
@common_options
def command(session: Session, out: Path) -> None:
    """Write every decision and event of a journey as a log, while the service may go on."""
    from data.log import write_log

    workspace = session.workspace()
    with opened_store(workspace) as store:
        journey = _journey(session, store.journeys())
        with session.progress("Exporting", None) as progress:
            n_rows = write_log(out, _counted(store.log(journey), progress))
    session.answer(
        {"out": str(out), "journey": journey, "rows": n_rows}, f"Wrote {n_rows} rows of journey {journey} to {out}."
    )


def _journey(session: Session, stored: Sequence[str]) -> str:
    """The journey that was named, else the store's only one, else the workspace's only one."""
    if session.journey is not None and session.journey in stored:
        return session.journey
    if session.journey is None and len(stored) == 1:
        return stored[0]
    if session.journey is None and len(stored) > 1:
        raise BadInput(f"--journey: the store has {len(stored)} journeys ({', '.join(stored)}); name one")
    return session.catalog(session.workspace()).journey


def _counted(
    batches: Iterator[Sequence[Decision | Event]], progress: Callable[[int], None]
) -> Iterator[Sequence[Decision | Event]]:
    done = 0
    for batch in batches:
        done += len(batch)
        progress(done)
        yield batch
