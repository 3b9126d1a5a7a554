"""``smallyes ope``: what another policy would have earned, from a table of logged decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from training.cli.context import Session, common_options, examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from training.intervals import Interval
    from training.ope import Diagnostics

_FEW: Final = 30
"""Effective sample size below which the intervals have not been shown to hold."""


@click.command(
    "ope",
    epilog=examples(
        "smallyes ope --table decisions.parquet",
        "smallyes ope --table decisions.csv --discount 0.9 --json",
        "smallyes ope --table one_step.csv --tau 10 --lambda 50",
    ),
)
@click.option("--table", required=True, type=click.Path(path_type=Path), help="Logged decisions: Parquet or CSV.")
@click.option(
    "--discount",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="What a reward loses from step to step.",
)
@click.option(
    "--tau",
    type=click.FloatRange(min=0),
    help="switch_dr keeps weights up to this [default: smallest estimated squared error].",
)
@click.option(
    "--lambda",
    "lam",
    type=click.FloatRange(min=0),
    help="dr_os shrinks weights w to lambda w / (w^2 + lambda) [default: smallest estimated squared error].",
)
@common_options
def command(session: Session, table: Path, discount: float, tau: float | None, lam: float | None) -> None:
    """Estimate what a target policy would have earned, from any table of logged decisions.

    Columns: episode, step (from 0), action (0 to k-1), reward, propensity, target_0 to target_{k-1} (they sum to 1);
    optionally q_0 to q_{k-1} (predicted values) and cluster. Rows may come in any order. No workspace is needed.
    """
    import math

    from data.errors import BadInput
    from training.ope import Tuning, diagnostics, estimate, read_table

    for option, value in (("--discount", discount), ("--tau", tau), ("--lambda", lam)):
        if value is not None and not math.isfinite(value):
            raise BadInput(f"{option}: received {value}; allowed: a finite number")
    logged = read_table(table)
    found = estimate(logged, discount=discount, tuning=Tuning(tau=tau, lam=lam))
    about = diagnostics(logged)
    session.answer(_plain(found, about), lambda console: _show(found, about, console))


def _plain(found: Mapping[str, Interval], about: Diagnostics) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, interval in found.items():
        plain[name] = {"value": interval.value, "low": interval.low, "high": interval.high}
        if interval.reason is not None:
            plain[name]["reason"] = interval.reason
    return {
        **plain,
        "effective_sample_size": about.effective_sample_size,
        "effective_conversions": about.effective_conversions,
        "max_weight": about.max_weight,
    }


def _show(found: Mapping[str, Interval], about: Diagnostics, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("estimator", "value", "low", "high"):
        table.add_column(name, justify="left" if name == "estimator" else "right")
    table.add_column("", overflow="fold")
    for name, interval in found.items():
        ends = (interval.value, interval.low, interval.high)
        numbers = ("-" if number is None else f"{number:.4g}" for number in ends)
        table.add_row(name, *numbers, interval.reason or "")
    level = next(iter(found.values())).level
    console.print(f"What the target policy would have earned per episode, with {level:.0%} intervals")
    console.print(table)
    console.print(f"{about.n_episodes} episodes, effective sample size {about.effective_sample_size:.4g}, ", end="")
    console.print(
        f"effective conversions {about.effective_conversions:.4g}, largest weight {about.max_weight:.4g}, "
        f"mean weight {about.mean_weight:.4g} (1 is expected)"
    )
    if about.effective_sample_size < _FEW:
        console.print(
            f"An effective sample size below {_FEW} is too little to rely on: the log says hardly anything about this "
            "target policy."
        )
