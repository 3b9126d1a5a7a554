"""The figure of the funnel: ask by ask, and step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from training.figures.drawing import (
    BLUE,
    MOST_ASKS,
    NORMAL,
    PALE,
    SMALL,
    VERMILION,
    Axis,
    Row,
    draw_rows,
    empty_figure,
    finish,
    new_figure,
)
from training.funnel import Funnel, StepRow, funnel
from training.intervals import Interval, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.table import Table

TITLE: Final = "Funnel: how often each ask is accepted, and how far visitors come"


def draw_funnel(table: Table) -> Figure:
    """Acceptance of every ask, and of every step with the share of episodes that reach it."""
    found = funnel(table.episodes, table.catalog)
    if found.n_episodes == 0:
        return empty_figure(TITLE, "the log has no episodes")
    rows, n_left_out = _ask_rows(found)
    figure = new_figure(2.0 + 0.34 * max(8, len(rows)))
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [3, 2]})
    draw_rows(left, rows, Axis("Accepted, of those answered or ignored (%)", ends=(0.0, 1.0)))
    left.set_title("Ask by ask (n: times shown)", fontsize=NORMAL)
    _draw_steps(right, found.steps)
    caption = (
        f"The whole log: {found.n_episodes:,} episodes of {found.n_visitors:,} visitors, {found.n_mature:,} of them "
        "settled. Bars: 95 % Wilson intervals. Asks still open enter no rate, episodes not settled no step."
    )
    if n_left_out:
        caption += f" {n_left_out} rarely shown asks are left out."
    return finish(figure, TITLE, caption)


def _ask_rows(found: Funnel) -> tuple[list[Row], int]:
    """The asks in the catalog's order; of many only those shown most."""
    ranked = sorted(found.asks, key=lambda row: -row.answers.shown)[:MOST_ASKS]
    kept = {row.ask_id for row in ranked}
    rows = [
        Row(f"{row.ask_id}  n={row.answers.shown:,}", row.answers.accept_rate)
        for row in found.asks
        if row.ask_id in kept
    ]
    return rows, len(found.asks) - len(rows)


def _draw_steps(axes: Axes, steps: tuple[StepRow, ...]) -> None:
    from matplotlib.ticker import MaxNLocator

    begun = steps[0].reached if steps else 0
    reached = [wilson(row.reached, begun) for row in steps]
    for offset, color, marker, label, intervals in (
        (-0.13, BLUE, "s", "episodes that reach it", reached),
        (0.13, VERMILION, "o", "asks accepted at it", [row.answers.accept_rate for row in steps]),
    ):
        _draw_series(axes, intervals, (offset, color, marker, label))
    axes.set_ylim(0, 104)
    axes.set_xlim(0.4, max(len(steps), 3) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Step of the episode (number)", fontsize=NORMAL)
    axes.set_ylabel("Share (%)", fontsize=NORMAL)
    axes.grid(axis="y", color=PALE)
    axes.set_axisbelow(True)
    axes.legend(fontsize=SMALL, loc="lower left", bbox_to_anchor=(-0.05, 1.0), frameon=False)


def _draw_series(axes: Axes, intervals: list[Interval], style: tuple[float, str, str, str]) -> None:
    offset, color, marker, label = style
    known = [
        (step + offset, 100 * one.value, 100 * one.low, 100 * one.high)
        for step, one in enumerate(intervals, start=1)
        if one.value is not None and one.low is not None and one.high is not None
    ]
    x, y, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    axes.vlines(x, low, high, color=color, linewidth=3, alpha=0.6)
    axes.plot(x, y, marker=marker, color=color, linestyle="none", markersize=6, label=label)
