"""Figures: they show the numbers that were found, say what they show, and are the same bytes every time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.catalog import parse_catalog
from features.successors import ACCEPTED
from tests.training.trainings import Case, case, without_evidence
from training.figures import NAMES, figures_of, opinions_of, png_of
from training.figures.drawing import Axis, Row, draw_rows, empty_figure, new_figure
from training.figures.opinions import MOST_EPISODES
from training.funnel import funnel
from training.intervals import Interval, wilson
from training.judging import probabilities_of
from training.table import PENDING


@pytest.fixture(scope="module")
def known() -> Case:
    return case()


@pytest.fixture(scope="module")
def figures(known: Case) -> dict[str, Figure]:
    return figures_of(known.table, known.trained, known.others)


def words(figure: Figure) -> str:
    """Everything that is written in a figure."""
    from matplotlib.text import Text

    png_of(figure)  # ticks have no text before
    return " | ".join(one.get_text() for one in figure.findobj(Text) if one.get_text())


def percent(found: Interval) -> float:
    assert found.value is not None
    return 100 * found.value


def size_of(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def points(axes: Axes, markers: str = "o") -> list[tuple[float, float, bool]]:
    """x, y and whether it is filled, of every point."""
    found = [line for line in axes.lines if str(line.get_marker()) in markers]
    return [
        (float(x), float(y), line.get_markerfacecolor() != "white")
        for line in found
        for x, y in np.asarray(line.get_xydata(), dtype=np.float64)
    ]


def test_every_figure_has_a_title_axes_with_units_and_the_number_of_episodes(
    known: Case, figures: dict[str, Figure]
) -> None:
    assert tuple(figures) == NAMES
    n_judging = f"{int(known.trained.splits.judge.sum()):,} judging episodes"
    for name, figure in figures.items():
        text = words(figure)
        assert figure.get_suptitle()
        assert (f"{known.table.n_episodes:,} episodes" if name == "funnel" else n_judging) in text
        for axes in figure.axes:
            labels = [label for label in (axes.get_xlabel(), axes.get_ylabel()) if label not in ("", "Ask")]
            assert labels
            assert all("(" in label for label in labels), labels


def test_pictures_are_1000_pixels_wide_and_the_same_bytes_again(known: Case, figures: dict[str, Figure]) -> None:
    again = figures_of(known.table, known.trained, known.others)
    for name, figure in figures.items():
        png = png_of(figure)
        assert size_of(png)[0] == 1000
        assert png == png_of(again[name]), name
        assert b"Software" not in png
        assert b"tIME" not in png


def test_policy_values_are_those_that_were_judged(known: Case, figures: dict[str, Figure]) -> None:
    axes = figures["policy_values"].axes[0]
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["candidate: by hand", "live: day zero", "baseline", "direct", "random"]
    judged = [one for one in (known.trained.judged, known.trained.incumbent, *known.others.values()) if one is not None]
    assert len(judged) == len(labels)
    expected = [
        (100 * one.value.value, y, one.value.low is not None)
        for y, one in enumerate(judged)
        if one.value.value is not None
    ]
    assert len(expected) >= 3
    assert points(axes) == [pytest.approx(each) for each in expected]
    for one in judged:
        assert one.value.value is None or f"{100 * one.value.value:.2f}"[:4] in words(figures["policy_values"])


def test_without_an_interval_a_point_is_open_and_without_a_value_there_is_none_but_reasons() -> None:
    axes = new_figure(3).add_subplot()
    rows = [
        Row("sure", Interval(0.05, 0.04, 0.06, 9)),
        Row("open", Interval(0.03, None, None, 9, reason="the weights contradict the log")),
        Row("none", Interval(None, None, None, 9, reason="nothing was seen")),
        Row("wide", Interval(0.02, 0.0, 1.0, 9)),
    ]
    draw_rows(axes, rows, Axis("Rate (%)"))
    assert points(axes) == [(5.0, 0, True), (3.0, 1, False), (2.0, 3, True)]
    said = [text.get_text() for text in axes.texts]
    assert {"the weights contradict the log", "nothing was seen", "2.00 % (0.00 to 100.0)"} <= set(said)
    assert axes.get_xlim()[1] < 13
    assert [line.get_marker() for line in axes.lines].count(">") == 1


def test_the_funnel_shows_each_asks_acceptance(known: Case, figures: dict[str, Figure]) -> None:
    found = funnel(known.table.episodes, known.table.catalog)
    left, right = figures["funnel"].axes
    assert points(left) == [
        pytest.approx((percent(row.answers.accept_rate), y, True)) for y, row in enumerate(found.asks)
    ]
    assert f"{found.asks[0].ask_id}  n={found.asks[0].answers.shown:,}" in words(figures["funnel"])
    reached = np.asarray(next(line for line in right.lines if line.get_marker() == "s").get_ydata(), dtype=np.float64)
    assert reached == pytest.approx([100 * row.reached / found.steps[0].reached for row in found.steps])
    assert (np.diff(reached) <= 0).all()


def test_calibration_compares_predictions_with_what_happened_at_judging_steps(
    known: Case, figures: dict[str, Figure]
) -> None:
    table, trained = known.table, known.trained
    is_ours = trained.splits.judge[table.episode] & (table.asks >= 0) & (table.answers != PENDING)
    effort = np.array([ask.effort for ask in table.catalog.asks])
    predicted = (0.5 - 0.04 * effort)[table.asks[is_ours]]
    came = table.answers[is_ours] == ACCEPTED
    found = opinions_of(table, trained).quality()
    assert found.n == int(is_ours.sum())
    assert found.mean_predicted == pytest.approx(predicted.mean())
    first = predicted == predicted.min()
    if found.bins[0].high == found.bins[0].low:
        assert found.bins[0].rate == wilson(int(came[first].sum()), int(first.sum()))
    axes = figures["calibration"].axes[0]
    drawn = sorted((x, y) for x, y, _ in points(axes, "os"))
    assert drawn == [pytest.approx((100 * b.mean_predicted, percent(b.rate))) for b in found.bins]


def test_the_map_shows_the_policy_as_it_is_judged(known: Case, figures: dict[str, Figure]) -> None:
    table, trained = known.table, known.trained
    probabilities, _ = probabilities_of(trained.candidate.target(trained.spec), table)
    is_ours = trained.splits.judge[table.episode]
    steps = table.steps["step"].to_numpy()
    shares, counts = opinions_of(table, trained).shares(6)
    for step in range(6):
        rows = is_ours & (steps == step)
        assert counts[step] == rows.sum()
        mask = rows[table.candidates.groups]
        sums = np.bincount(table.candidates.asks[mask], probabilities[mask], len(table.catalog.asks))
        assert shares[:-1, step] == pytest.approx(sums / rows.sum())
    assert shares.sum(axis=0) == pytest.approx(np.ones(6))
    image = np.asarray(figures["ask_by_step"].axes[0].images[0].get_array())
    assert image == pytest.approx(100 * shares[: len(image)])
    assert "logged states" in words(figures["ask_by_step"])


def test_many_judging_episodes_are_thinned_and_the_figure_says_so(known: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.figures.opinions.MOST_EPISODES", 100)
    said = opinions_of(known.table, known.trained)
    assert said.n_episodes <= 100 < said.n_judging <= MOST_EPISODES
    figures = figures_of(known.table, known.trained, known.others, said)
    assert f"(an even choice of {said.n_judging:,})" in words(figures["calibration"])


def test_where_nothing_can_be_shown_figures_say_so(known: Case) -> None:
    nobody = np.zeros(known.table.n_episodes, dtype=np.bool_)
    trained = without_evidence(replace(known.trained, splits=replace(known.trained.splits, judge=nobody)))
    figures = figures_of(known.table, trained, {})
    for name in ("policy_values", "calibration", "ask_by_step"):
        assert "Nothing to show: " in words(figures[name])
        assert size_of(png_of(figures[name]))[0] == 1000
    assert "no episode can tell" in words(figures["policy_values"])
    assert png_of(empty_figure("Funnel", "the log has no episodes")).startswith(b"\x89PNG")


def test_strange_names_are_drawn(known: Case) -> None:
    odd = {"\u8096\u50cf $x^$ \x07": known.others["random"], "a" * 200: known.others["baseline"]}
    figure = figures_of(known.table, known.trained, odd)["policy_values"]
    assert png_of(figure)
    assert "?? $x^$ ?" in words(figure)


def test_a_catalog_of_a_thousand_asks_still_fits(known: Case) -> None:
    asks = "".join(f"  - {{id: a{number}, title: A, kind: content, effort: 1}}\n" for number in range(999))
    goal = "  - {id: buy, title: B, kind: purchase, effort: 5}\n"
    text = f"format: 1\njourney: big\ngoal: buy\nbaseline: [buy]\nasks:\n{asks}{goal}"
    catalog = parse_catalog(text, "big.yaml")
    from training.figures.funnel_chart import draw_funnel

    figure = draw_funnel(replace(known.table, catalog=catalog))
    assert len(figure.axes[0].get_yticklabels()) == 30
    assert "rarely shown asks are left out" in words(figure)
    assert size_of(png_of(figure))[1] < 2_000


def test_nothing_global_is_touched() -> None:
    code = (
        "import sys; import training.figures, training.tracking; assert 'matplotlib' not in sys.modules;"
        "assert 'mlflow' not in sys.modules;"
        "from training.figures import png_of; from training.figures.drawing import empty_figure;"
        "png_of(empty_figure('a', 'b')); assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
