"""``smallyes funnel``: where visitors say yes, and where they drop off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from training.cli.context import Session, common_options, examples
from training.cli.logs import left_out, log_options, read_arrivals, tell_left_out


@click.command(
    "funnel", epilog=examples("smallyes funnel --log march.parquet", "smallyes funnel --log logs/ --by context.device")
)
@log_options
@click.option("--by", help="Also by segment: a column of the log, like context.device.")
@common_options
def command(session: Session, logs: Sequence[str], mapping: Path | None, now_text: str | None, by: str | None) -> None:
    """Show micro-conversion rates, drop-off, velocity, depth, and direct ask against sequence."""
    from data.episodes import episodes_of
    from training.funnel import funnel
    from training.funnel_view import render

    catalog = session.catalog(session.workspace())
    log, arrivals = read_arrivals(logs, catalog, mapping, now_text)
    result = funnel(episodes_of(arrivals, catalog, now=log.now), catalog, by=by)
    tell_left_out(log, arrivals, catalog)
    answer = {**result.to_json(), "left_out": left_out(log, arrivals)}
    session.answer(answer, lambda console: render(result, console))
