"""Sentences and short tables of the demo, for people who have never read a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data.domain import Catalog
from training.demo.place import shown_path

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from data.workspace import Workspace
    from training.demo.takeover import Takeover
    from training.funnel import Funnel

_ARMS: Final = {
    "baseline": "that sequence alone",
    "direct": "nothing but the sale",
    "random": "anything at random",
    "none": "no ask at all",
}


def tell_day_zero(catalog: Catalog) -> str:
    """What is served before anything was learned."""
    explored = 100 * catalog.exploration.day_zero
    held = "; ".join(f"{100 * one.share:g} % always get {_ARMS[one.policy]}" for one in catalog.holdout)
    return (
        f"The fixed sequence is {' > '.join(catalog.baseline)}. Day zero follows it {100 - explored:g} % of the time "
        f"and spreads {explored:g} % over everything that may be asked, to find out. Held out for comparison: {held}."
    )


def render_funnel(funnel: Funnel, console: Console) -> None:
    """Prints the funnel in short: ask by ask, and conversion by arm."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from training.funnel_view import rate_text, time_text

    console.print(
        f"{funnel.n_visitors:,} visitors, {funnel.n_conversions:,} purchases: {rate_text(funnel.conversion)} of "
        f"visitors, half of the buyers within {time_text(funnel.time_to_conversion_s)} of their first ask "
        "(95 % intervals, here and below).",
        markup=False,
    )
    asks = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("ask", "effort", "shown", "said yes"):
        asks.add_column(column, justify="left" if column == "ask" else "right")
    for row in funnel.asks:
        effort = "-" if row.effort is None else f"{row.effort:g}"
        asks.add_row(row.ask_id, effort, f"{row.answers.shown:,}", rate_text(row.answers.accept_rate))
    console.print(asks)
    arms = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("visitors served by", "visitors", "bought", "conversion"):
        arms.add_column(column, justify="left" if column == "visitors served by" else "right")
    for arm in funnel.arms:
        arms.add_row(arm.name, f"{arm.n_mature:,}", f"{arm.converted:,}", rate_text(arm.conversion))
    console.print(arms)


def tell_takeover(takeover: Takeover) -> str:
    """Who answered while the version changed, and that nothing was restarted."""
    watch, (before, after) = takeover.watch, takeover.process_ids
    labels = " then ".join(watch.labels)
    ask = takeover.witness["ask"]
    shown = "nothing" if ask is None else ask["id"]
    same = "the same processes as before" if before == after else f"other processes than before ({before}, {after})"
    return (
        f"Meanwhile {watch.n_requests:,} requests came in and {watch.n_failed} failed; they were answered by {labels}. "
        f"A visitor who is new now gets {shown} from champion {takeover.version}, with probability "
        f"{takeover.witness['propensity']:.2f}; service: process {after[0]}, {same}."
    )


def what_to_try(workspace: Workspace, programs: Path) -> str:
    """Lines that work as they are while the service runs.

    Args:
        workspace: of the demo.
        programs: folder of the console scripts.
    """
    url, folder = f"http://127.0.0.1:{workspace.settings.serve.port}", shown_path(workspace.root)
    smallyes, mlflow = shown_path(programs / "smallyes"), shown_path(programs / "mlflow")
    post = "-H 'Content-Type: application/json' -d"
    return f"""\
What to ask a visitor next, and why (candidates with their probabilities; what was blocked, and by which rule):
  curl -s {url}/v1/next-ask {post} \\
    '{{"visitor_id": "you", "decision_id": "first", "context": {{"referrer": "blog"}}, "trace": true}}'
The visitor says yes; then ask again, with another decision_id:
  curl -s {url}/v1/outcomes {post} \\
    '{{"events": [{{"type": "accepted", "decision_id": "first"}}]}}'
What serves whom, and everything that is known of a visitor:
  curl -s {url}/v1/policy
  curl -s {url}/v1/visitors/you
Back to what was live before, while the service runs on:
  {smallyes} rollback --workspace {folder}
Versions, estimates and figures in MLflow, on http://127.0.0.1:5000:
  {mlflow} ui --backend-store-uri {workspace.mlflow_uri}
The service again, another day:
  {smallyes} serve --workspace {folder}"""
