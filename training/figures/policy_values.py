"""The figure that says what each policy is worth, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from training.figures.drawing import BLUE, GREY, VERMILION, Axis, Row, draw_rows, empty_figure, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.judging import Judged
    from training.training import Trained

TITLE: Final = "What each policy would earn per episode"


def draw_policy_values(trained: Trained, others: Mapping[str, Judged], reward: str) -> Figure:
    """Candidate, what is live, and other policies as points with interval bars.

    Args:
        trained: the candidate and what is live, judged.
        others: further policies, by the name to be shown.
        reward: the catalog's: ``conversion`` or ``value``.
    """
    if trained.judged is None:
        return empty_figure(TITLE, trained.verdict.candidate.reason or "the candidate could not be judged on this log")
    rows = [Row(f"candidate: {trained.candidate.name}", trained.judged.value, VERMILION)]
    if trained.incumbent is not None:
        rows.append(Row(f"live: {trained.incumbent.target.name}", trained.incumbent.value, BLUE))
    rows += [Row(name, judged.value, GREY) for name, judged in others.items()]
    figure = new_figure(2.2 + 0.55 * len(rows))
    is_share = reward == "conversion"
    axis = (
        Axis("Conversions per 100 episodes (%)")
        if is_share
        else Axis("Value per episode (in the log's money)", 1.0, "")
    )
    draw_rows(figure.add_subplot(), rows, axis)
    found = trained.judged.diagnostics
    caption = (
        f"Estimated off-policy (doubly robust) from {found.n_episodes:,} judging episodes, which are worth "
        f"{found.effective_sample_size:,.0f} under the candidate. Bars: {100 * trained.judged.value.level:g} % "
        "intervals; an arrow head: the bar goes on. Open points have no interval."
    )
    return finish(figure, TITLE, caption)
