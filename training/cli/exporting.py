"""``smallyes export``: the store's past as a log of the contract."""

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
        journey = session.journey or _only_journey(session, store.journeys())
        with session.progress("Exporting", None) as progress:
            n_rows = write_log(out, _counted(store.log(journey), progress))
    session.answer({"out": str(out), "journey": journey, "rows": n_rows}, f"Wrote {n_rows} rows to {out}.")


def _only_journey(session: Session, stored: Sequence[str]) -> str:
    """The store's only journey, else the workspace's only one."""
    if len(stored) == 1:
        return stored[0]
    if len(stored) > 1:
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
