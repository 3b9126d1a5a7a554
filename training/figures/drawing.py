"""What the figures have in common: size, colors that color-blind people can tell apart, rows of intervals.

Colors: M. Okabe, K. Ito (2008), Color universal design. Nothing is told by color alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from training.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN: Final = 10.0
DPI: Final = 100
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREY: Final = "#555555"
PALE: Final = "#DDDDDD"
SMALL: Final = 9
NORMAL: Final = 11
MOST_ASKS: Final = 30
"""A figure shows no more asks than this."""
_LAST_DRAWABLE: Final = 0x52F
"""The fonts that come along have Latin, Greek and Cyrillic letters."""
_LONGEST: Final = 28


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a figure: an estimate under a label."""

    label: str
    interval: Interval
    color: str = BLUE


@dataclass(frozen=True, slots=True)
class Axis:
    """How numbers are shown: multiplied by ``factor``, with ``unit`` behind them; between ``ends`` where given."""

    label: str
    factor: float = 100.0
    unit: str = " %"
    ends: tuple[float, float] | None = None

    def text(self, value: float) -> str:
        """A number for people.

        Example:
            >>> Axis("Accepted (%)").text(0.0312), Axis("Value", 1.0, "").text(12.3456)
            ('3.12', '12.35')
        """
        shown = value * self.factor
        return f"{shown:.4g}" if self.factor == 1.0 else f"{shown:.2f}" if abs(shown) < 10 else f"{shown:.1f}"


def new_figure(height_in: float) -> Figure:
    """An empty figure, 1000 pixels wide, that belongs to no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained", facecolor="white")


def finish(figure: Figure, title: str, caption: str) -> Figure:
    """Puts the title above and the caption below."""
    figure.suptitle(title, fontsize=14, fontweight="bold", parse_math=False)
    figure.supxlabel("\n".join(textwrap.wrap(caption, 125)), fontsize=SMALL, color=GREY, parse_math=False)
    return _settled(figure)


def empty_figure(title: str, reason: str) -> Figure:
    """A figure that says why there is nothing to show."""
    figure = new_figure(3.0)
    text = "\n".join(textwrap.wrap(f"Nothing to show: {reason}.", 80))
    figure.text(0.5, 0.45, text, ha="center", va="center", fontsize=12, parse_math=False)
    figure.suptitle(title, fontsize=14, fontweight="bold", parse_math=False)
    return _settled(figure)


def _settled(figure: Figure) -> Figure:
    """Lays the figure out once: every further drawing would move things by a pixel."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def short(text: str, longest: int = _LONGEST) -> str:
    """A label that fits and that the fonts can draw.

    Example:
        >>> short("welcome"), short("a" * 40, 10), short("\u8096")
        ('welcome', 'aaaaaaaaa…', '?')
    """
    drawable = "".join(one if one.isprintable() and ord(one) <= _LAST_DRAWABLE else "?" for one in text)
    return drawable if len(drawable) <= longest else f"{drawable[: longest - 1]}…"


def draw_rows(axes: Axes, rows: Sequence[Row], axis: Axis) -> None:
    """Estimates as points with interval bars, a line each, numbers at the right.

    What has no interval is an open point with its reason; what has no value is its reason alone. A bar that goes on
    beyond the axis ends in an arrow head.
    """
    low, high = axis.ends or _ends(rows)
    axes.set_xlim(low * axis.factor, high * axis.factor)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for y, row in enumerate(rows):
        _draw_row(axes, y, row, axis, (low, high))
    axes.set_yticks(range(len(rows)), [short(row.label) for row in rows], fontsize=NORMAL, parse_math=False)
    axes.set_xlabel(axis.label, fontsize=NORMAL)
    axes.grid(axis="x", color=PALE)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_row(axes: Axes, y: int, row: Row, axis: Axis, ends: tuple[float, float]) -> None:
    found, factor = row.interval, axis.factor
    beside, within = axes.get_yaxis_transform(), {"fontsize": SMALL, "color": GREY, "parse_math": False}
    if found.value is None:
        why = textwrap.shorten(found.reason or "no value", 95, placeholder=" …")
        axes.text(0.01, y, why, transform=beside, va="center", **within)  # type: ignore[arg-type]
        return
    is_open = found.low is None or found.high is None
    value = min(max(found.value, ends[0]), ends[1]) * factor
    style = {"markeredgecolor": row.color, "markerfacecolor": "white" if is_open else row.color, "clip_on": False}
    text = f"{axis.text(found.value)}{axis.unit}"
    if found.low is None or found.high is None:
        why = textwrap.shorten(str(found.reason or "no interval"), 100, placeholder=" …")
        axes.text(0.01, y + 0.36, why, transform=beside, va="center", **within)  # type: ignore[arg-type]
    else:
        low, high = max(found.low, ends[0]) * factor, min(found.high, ends[1]) * factor
        axes.plot([low, high], [y, y], color=row.color, linewidth=3, solid_capstyle="butt", alpha=0.6)
        for bound, end, marker in ((found.low, low, "<"), (found.high, high, ">")):
            if bound * factor != end:
                axes.plot([end], [y], marker=marker, color=row.color, markersize=8, clip_on=False)
        text += f" ({axis.text(found.low)} to {axis.text(found.high)})"
    axes.plot([value], [y], marker="o", markersize=8, markeredgewidth=1.8, linestyle="none", **style)  # type: ignore[arg-type]
    axes.text(1.02, y, text, transform=beside, va="center", fontsize=SMALL, parse_math=False)


def _ends(rows: Sequence[Row]) -> tuple[float, float]:
    """Ends of the axis: a very wide bar does not squeeze the points and the narrow ones."""
    values = [row.interval.value for row in rows if row.interval.value is not None]
    lows = [row.interval.low for row in rows if row.interval.low is not None]
    highs = [row.interval.high for row in rows if row.interval.high is not None]
    if not values:
        return 0.0, 1.0
    lowest, highest = min([0.0, *values]), max([0.0, *values])
    span = (highest - lowest) or 1.0
    left = max(min([lowest, *lows]), lowest - span)
    right = min(max([highest, *highs]), highest + span)
    return left - (0.03 * (right - left) if left < 0 else 0.0), right + 0.03 * (right - left)
