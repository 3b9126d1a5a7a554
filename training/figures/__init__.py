"""The pictures of a training, for MLflow's pages and for reports: drawn off screen, and the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from training.figures.ask_by_step import draw_ask_by_step
from training.figures.funnel_chart import draw_funnel
from training.figures.opinions import Opinions, opinions_of
from training.figures.policy_values import draw_policy_values
from training.figures.predicted_acceptance import draw_predicted_acceptance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.judging import Judged
    from training.table import Table
    from training.training import Trained

__all__ = ["NAMES", "Opinions", "figures_of", "opinions_of", "png_of"]

NAMES: Final = ("policy_values", "funnel", "calibration", "ask_by_step")


def figures_of(
    table: Table, trained: Trained, others: Mapping[str, Judged], opinions: Opinions | None = None
) -> dict[str, Figure]:
    """The figures of a training by name (``NAMES``), each 1000 pixels wide.

    Args:
        table: the log.
        trained: what was learned from it.
        others: policies to compare with, judged on the same episodes, by the name to be shown.
        opinions: what the candidate says at the logged steps; ``None``: it is asked.
    """
    said = opinions_of(table, trained) if opinions is None else opinions
    drawings: dict[str, Callable[[], Figure]] = {
        "policy_values": lambda: draw_policy_values(trained, others, table.catalog.reward),
        "funnel": lambda: draw_funnel(table),
        "calibration": lambda: draw_predicted_acceptance(said),
        "ask_by_step": lambda: draw_ask_by_step(said),
    }
    return {name: drawings[name]() for name in NAMES}


def png_of(figure: Figure) -> bytes:
    """A figure as PNG, without the time and the software it was made with.

    Example:
        >>> from training.figures.drawing import empty_figure
        >>> png_of(empty_figure("Funnel", "the log has no episodes"))[1:4]
        b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    # What savefig does, which draws twice.
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(content, metadata={"Software": None})
    return content.getvalue()
