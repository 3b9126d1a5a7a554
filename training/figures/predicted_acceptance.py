"""The figure that says whether predicted acceptances come true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from training.figures.drawing import BLUE, GREY, NORMAL, PALE, SMALL, VERMILION, empty_figure, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.calibration import Bin
    from training.figures.opinions import Opinions

TITLE: Final = "Do predicted acceptances come true?"


def draw_predicted_acceptance(opinions: Opinions) -> Figure:
    """Predicted against observed acceptance of the asks that were shown, by tenths of the predictions."""
    found = opinions.quality()
    if not found.bins:
        return empty_figure(TITLE, "no ask of the judging episodes has an answer")
    figure = new_figure(6.0)
    axes = figure.add_subplot()
    top = 100 * min(1.0, 1.05 * max([each.rate.high or 0.0 for each in found.bins] + [b.high for b in found.bins]))
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1.2, label="predictions come true")
    _draw_bins(axes, [each for each in found.bins if not each.is_off], (BLUE, "o", "interval holds the prediction"))
    _draw_bins(axes, [each for each in found.bins if each.is_off], (VERMILION, "s", "interval misses the prediction"))
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_xlabel("Predicted acceptance, mean of the bin (%)", fontsize=NORMAL)
    axes.set_ylabel("Observed acceptance (%)", fontsize=NORMAL)
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.legend(fontsize=SMALL, loc="upper left")
    caption = (
        f"{found.n:,} shown asks of {opinions.n_episodes:,} judging episodes"
        f"{_thinned(opinions)}, in {len(found.bins)} bins of about the same size. Bars: 95 % Wilson intervals. "
        f"Expected calibration error: {100 * (found.calibration_error or 0.0):.1f} points."
    )
    return finish(figure, TITLE, caption)


def _thinned(opinions: Opinions) -> str:
    return "" if opinions.n_episodes == opinions.n_judging else f" (an even choice of {opinions.n_judging:,})"


def _draw_bins(axes: Axes, bins: Sequence[Bin], style: tuple[str, str, str]) -> None:
    color, marker, label = style
    for each in bins:
        x, rate = 100 * each.mean_predicted, each.rate
        if rate.value is not None and rate.low is not None and rate.high is not None:
            axes.plot([x, x], [100 * rate.low, 100 * rate.high], color=color, linewidth=3, alpha=0.6)
            axes.plot([x], [100 * rate.value], marker=marker, color=color, markersize=8, linestyle="none", label=label)
            label = "_nolegend_"
