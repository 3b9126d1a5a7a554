"""``smallyes promote``: a registered version goes live, as the champion or on trial."""

from __future__ import annotations

import click

from training.cli.app import NoError
from training.cli.context import Session, common_options, examples


@click.command(
    "promote",
    epilog=examples(
        "smallyes promote", "smallyes promote --version 8 --trial 0.1", "smallyes promote --trial 0    # ends a trial"
    ),
)
@click.option("--version", "number", type=click.IntRange(min=1), help="Version [default: the challenger].")
@click.option("--trial", "share", type=float, help="Serve it to this sticky share of visitors; 0 ends a trial.")
@click.option("--force", "is_forced", is_flag=True, help="Go live whatever the gate said.")
@common_options
def command(session: Session, number: int | None, share: float | None, is_forced: bool) -> None:
    """Make a version the champion if the gate judged it better, or serve it to a share of visitors on trial.

    Running services follow within seconds, without a restart.
    """
    workspace = session.workspace()
    journey = session.catalog(workspace).journey
    from policy.registry import Registry
    from training.promotion import Promotion

    promotion = Promotion(Registry.open(workspace), workspace, journey)
    if share is None:
        change = promotion.promote(number, is_forced=is_forced)
    elif share == 0.0:
        change = promotion.end_trial(number)
    else:
        change = promotion.start_trial(number, share, is_forced=is_forced)
    if change.is_done:
        session.answer(change.result, change.text)
        return
    if session.is_json:
        session.answer(change.result, "")
    raise NoError(change.text)
