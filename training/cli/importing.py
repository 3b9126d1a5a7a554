"""``smallyes import``: a log becomes the store's past, so that guardrails know returning visitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from data.catalog import load_folder
from data.clock import now
from policy.importing import Imported, import_arrivals
from policy.live import LiveJourney
from training.cli.context import Session, common_options, examples, opened_store
from training.cli.logs import left_out, log_options, read_arrivals, tell_left_out


@click.command(
    "import", epilog=examples("smallyes import --log last-year.parquet", "smallyes import --log crm.csv --map map.yaml")
)
@log_options
@common_options
def command(session: Session, logs: Sequence[str], mapping: Path | None, now_text: str | None) -> None:
    """Take a log into the store. Importing it again changes nothing; erased visitors stay erased."""
    workspace = session.workspace()
    catalog = session.catalog(workspace)
    others = [LiveJourney(other) for name, other in load_folder(workspace.journeys).items() if name != catalog.journey]
    log, arrivals = read_arrivals(logs, catalog, mapping, now_text)
    tell_left_out(log, arrivals, catalog)
    total = Imported()
    with opened_store(workspace) as store, session.progress("Importing", len(arrivals.frame)) as progress:
        rows = zip(arrivals.frame["owner"], (item for _, item in arrivals.items()), strict=True)
        for imported in import_arrivals(rows, LiveJourney(catalog), store, now=now(), others=others):
            total = total.plus(imported)
            progress(total.n_rows)
    session.answer({**asdict(total), "left_out": left_out(log, arrivals)}, _text(total))


def _text(total: Imported) -> str:
    parts = [f"Imported {total.n_decisions} decisions, {total.n_events} events and {total.n_merges} merges"]
    if total.n_duplicates:
        parts.append(f"{total.n_duplicates} rows were there already")
    if total.n_erased:
        parts.append(f"{total.n_erased} rows of erased visitors were left out")
    if total.n_clashes:
        parts.append(f"{total.n_clashes} rows were left out whose decision_id names another decision in the store")
    return "; ".join(parts) + "."
