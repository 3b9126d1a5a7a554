"""The figure that says what the candidate asks at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from features.columns import FloatArray
from features.summary import IntArray
from training.figures.drawing import MOST_ASKS, NORMAL, PALE, SMALL, empty_figure, finish, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.figures.opinions import Opinions

TITLE: Final = "What the candidate asks, step by step"
STEPS: Final = 6


def draw_ask_by_step(opinions: Opinions) -> Figure:
    """A map of asks by steps: the share of probability that the candidate gives each ask."""
    shares, counts = opinions.shares(STEPS)
    if not counts.any():
        return empty_figure(TITLE, "there is no judging episode")
    asks = [*opinions.asks, "ask nothing"]
    totals = np.nansum(shares, axis=1)
    kept = np.sort(np.argsort(-totals, kind="stable")[:MOST_ASKS])
    if totals[-1] == 0.0:
        kept = kept[kept != len(opinions.asks)]
    figure = new_figure(2.2 + 0.4 * max(len(kept), 4))
    axes = figure.add_subplot()
    _draw_map(axes, shares[kept], [short(asks[row]) for row in kept], counts)
    thinned = "" if opinions.n_episodes == opinions.n_judging else f" (an even choice of {opinions.n_judging:,})"
    caption = (
        f"Share of probability, exploration included, averaged over the logged states of {opinions.n_episodes:,} "
        f"judging episodes{thinned}: those that the policy of the log led to, not those that the candidate would lead "
        "to. n: episodes that have the step."
    )
    n_left_out = int((totals[:-1] >= 0).sum()) + int(totals[-1] > 0) - len(kept)
    if n_left_out:
        caption += f" {n_left_out} rarely chosen asks are left out."
    return finish(figure, TITLE, caption)


def _draw_map(axes: Axes, shares: FloatArray, asks: list[str], counts: IntArray) -> None:
    from matplotlib import colormaps

    percent = np.ma.masked_invalid(100 * shares)
    highest = max(float(percent.max()), 1.0)
    colors = colormaps["cividis"].with_extremes(bad=PALE)
    image = axes.imshow(percent, cmap=colors, vmin=0.0, vmax=highest, aspect="auto")
    for row, column in np.argwhere(~percent.mask if np.ma.is_masked(percent) else np.ones(percent.shape, dtype=bool)):
        share = float(percent[row, column])
        ink = "white" if share < 0.5 * highest else "black"
        text = f"{share:.1f}" if share < 9.95 else f"{share:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=SMALL)
    axes.set_yticks(range(len(asks)), asks, fontsize=NORMAL, parse_math=False)
    steps = [f"{step}\nn={count:,}" for step, count in enumerate(counts.tolist(), start=1)]
    axes.set_xticks(range(len(steps)), steps, fontsize=NORMAL)
    axes.set_xlabel("Step of the episode (number)", fontsize=NORMAL)
    axes.set_ylabel("Ask", fontsize=NORMAL)
    axes.figure.colorbar(image, ax=axes, label="Share of probability (%)")
