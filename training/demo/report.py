"""What live visitors really did: the direct ask, the fixed baseline and the learned policy side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from training.demo.live import PREFIX
from training.intervals import Interval, difference, wilson

if TYPE_CHECKING:
    from rich.console import Console

    from data.episodes import Episodes

NAMES: Final = ("direct", "baseline", "learned")
_TITLES: Final = {
    "direct": "Ask for the sale at once",
    "baseline": "The same fixed sequence for all",
    "learned": "What was learned (version {version})",
}
NOBODY: Final = "no live visitor was served by it"


@dataclass(frozen=True)
class Side:
    """One policy's live visitors.

    Attributes:
        name: direct, baseline or learned.
        visitors: who were served by it from their first ask on, and are settled.
        converted: how many of them bought.
        late: how many of these the site heard of only after the visit.
    """

    name: str
    visitors: int
    converted: int
    late: int

    @property
    def rate(self) -> Interval:
        """Their conversion, with Wilson's 95 % interval."""
        return wilson(self.converted, self.visitors, empty=NOBODY)

    def to_json(self) -> dict[str, Any]:
        """Plain values; null where nobody was served."""
        rate = self.rate
        return {
            "value": rate.value,
            "low": rate.low,
            "high": rate.high,
            "visitors": self.visitors,
            "converted": self.converted,
            "late": self.late,
        }


def sides_of(episodes: Episodes, goal: str, version: int) -> tuple[Side, ...]:
    """The three sides, each visitor once, on the side that their first ask came from.

    Args:
        episodes: of the service's store, described as of a moment at which all are settled; others do not count.
        goal: the ask whose acceptance is a conversion within the visit.
        version: the learned policy's, whether champion or challenger.
    """
    import polars as pl

    side_of = {
        "holdout:direct": "direct",
        "holdout:baseline": "baseline",
        f"champion:{version}": "learned",
        f"challenger:{version}": "learned",
    }
    first = episodes.steps.filter(pl.col("step") == 0, pl.col("visitor_id").str.starts_with(PREFIX))
    at_once = episodes.steps.filter(pl.col("answer") == "accepted", pl.col("ask_id") == goal)["episode_id"].unique()
    visitors = (
        first.select("episode_id", side=pl.col("policy").replace_strict(side_of, default="other"))
        .join(episodes.episodes.filter("is_mature"), on="episode_id")
        .sort("started_at", "episode_id")
        .unique("visitor_id", keep="first", maintain_order=True)
        .with_columns(is_late=pl.col("is_converted") & ~pl.col("episode_id").is_in(at_once.implode()))
    )
    ours = {name: visitors.filter(pl.col("side") == name) for name in NAMES}
    return tuple(
        Side(name, side.height, int(side["is_converted"].sum()), int(side["is_late"].sum()))
        for name, side in ours.items()
    )


def render_sides(sides: tuple[Side, ...], version: int, console: Console) -> None:
    """Prints the sides, and how far apart they are."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from training.funnel_view import points_text, rate_text

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("policy", "visitors", "bought", "of these later", "conversion (95 % interval)"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for side in sides:
        title = _TITLES[side.name].format(version=version)
        table.add_row(title, f"{side.visitors:,}", str(side.converted), str(side.late), rate_text(side.rate))
    console.print(table)
    direct, baseline, learned = sides
    for other, words in ((baseline, "the fixed sequence"), (direct, "asking at once")):
        if learned.visitors and other.visitors:
            gap = difference((learned.converted, learned.visitors), (other.converted, other.visitors))
            console.print(f"Learned minus {words}: {points_text(gap)}.")
