"""``smallyes rollback``: what was live before is live again."""

from __future__ import annotations

import click

from training.cli.app import NoError
from training.cli.context import Session, common_options, examples


@click.command("rollback", epilog=examples("smallyes rollback", "smallyes rollback --journey skincare --json"))
@common_options
def command(session: Session) -> None:
    """Go back to the previous champion, or to day zero where there was none, and end a running trial.

    Running services follow within seconds, without a restart. The same command again undoes it.
    """
    workspace = session.workspace()
    journey = session.catalog(workspace).journey
    from policy.registry import Registry
    from training.promotion import Promotion

    change = Promotion(Registry.open(workspace), workspace, journey).roll_back()
    if change.is_done:
        session.answer(change.result, change.text)
        return
    if session.is_json:
        session.answer(change.result, "")
    raise NoError(change.text)
