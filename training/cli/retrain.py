"""``smallyes retrain``: learn from the store of the running service, and act on what the gate or the trial says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from data.clock import parse_duration
from data.errors import BadInput, SmallyesError
from training.cli.context import Session, common_options, examples, opened_store

if TYPE_CHECKING:
    from training.loop import Round


@click.command("retrain", epilog=examples("smallyes retrain", "smallyes retrain --watch 15m"))
@click.option("--watch", "pause", help="Do it again after this long, until stopped: like 15m.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of training.")
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True, help="How much runs side by side.")
@common_options
def command(session: Session, pause: str | None, seed: int, threads: int) -> None:
    """Judge the running trial, learn from the store, then promote, start or end a trial, or leave all as it is.

    Without a champion a trial serves half of the visitors, with one a tenth. The service follows without a restart.
    """
    try:
        pause_s = None if pause is None else parse_duration(pause)
    except ValueError as error:
        raise BadInput(f"--watch: {error}") from None
    while True:
        try:
            result = run_round(session, seed, threads)
            session.answer(result.to_json(), "\n".join(result.decisions))
        except (SmallyesError, OSError) as error:
            if pause_s is None:
                raise
            click.echo(f"smallyes: {error}", err=True)
        if pause_s is None:
            return
        time.sleep(pause_s)


def run_round(session: Session, seed: int, threads: int) -> Round:
    """One round of the loop on the session's workspace."""
    workspace = session.workspace()
    catalog = session.catalog(workspace)
    from policy.registry import Registry
    from training.loop import Loop, alone
    from training.promotion import Promotion
    from training.sources import source_of_store
    from training.training import TrainingOptions

    with alone(workspace.var):
        registry = Registry.create(workspace)
        with opened_store(workspace) as store, session.progress("Reading the store", None):
            source = source_of_store(store, catalog)
        with session.progress("Learning", None) as progress:
            options = TrainingOptions(seed=seed, threads=threads, progress=lambda done, _total: progress(done))
            promotion = Promotion(registry, workspace, catalog.journey)
            return Loop(registry, promotion, catalog, options).round(source)
