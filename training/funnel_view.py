"""The funnel as text and tables for people: plain words, no colors off a terminal, any character set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from data.clock import to_iso
from training.funnel import MAIN_ARM, MAX_STEPS, NOT_CAUSAL, NOTES, Answers, Funnel, GroupRow
from training.intervals import Interval

if TYPE_CHECKING:
    from rich.console import Console

_SCALES: Final = ((86_400.0, "days", 1), (3_600.0, "h", 1), (60.0, "min", 1), (1.0, "s", 0))
"""Seconds in a unit, its name, decimals worth showing."""


def render(funnel: Funnel, console: Console) -> None:
    """Prints the funnel."""
    page = _Page(console)
    _print_summary(funnel, page)
    if funnel.n_episodes == 0:
        page.line("There is no episode in this log, so there is nothing to count.")
        return
    _print_asks(funnel, page)
    _print_steps(funnel, page)
    _print_commitment(funnel, page)
    _print_comparisons(funnel, page)
    page.line("")
    for note in NOTES:
        page.line(note)


class _Page:
    """Prints what the console's character set can show; control characters never reach the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(self._clean(text))

    def table(self, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for i, name in enumerate(head):
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*(self._clean(cell) for cell in row))
        self._console.print()
        self.line(title)
        self._console.print(table)

    def _clean(self, text: str) -> Text:
        printable = "".join(letter if letter.isprintable() else "?" for letter in text)
        encoding = self._console.encoding
        return Text(printable.encode(encoding, "replace").decode(encoding), overflow="fold")


def _print_summary(funnel: Funnel, page: _Page) -> None:
    page.line(f"Funnel of {funnel.journey}, goal {funnel.goal}, as of {to_iso(funnel.now)[:19].replace('T', ' ')} UTC")
    page.line(
        f"{_many(funnel.n_episodes, 'episode')} of {_many(funnel.n_visitors, 'visitor')}: "
        f"{funnel.n_mature} mature, {funnel.n_young} young "
        f"({funnel.n_young_converted} of these converted already; they enter no rate of conversion)."
    )
    page.line(f"Conversion of mature episodes: {rate_text(funnel.conversion)}.")
    page.line(
        f"{_many(funnel.n_conversions, 'conversion')} in the log, {funnel.n_conversions_outside} of them outside every "
        "episode (no decision before, or too long ago)."
    )
    page.line(f"Time from first decision to conversion, median: {time_text(funnel.time_to_conversion_s)}.")
    if funnel.n_without_ask:
        page.line(f"In {_many(funnel.n_without_ask, 'episode')} nothing was asked at all.")
    if funnel.n_not_learned_from:
        page.line(f"{_many(funnel.n_not_learned_from, 'episode')} must not be learned from (shown as an arm below).")


def _print_asks(funnel: Funnel, page: _Page) -> None:
    rows = (
        (row.ask_id, "-" if row.effort is None else f"{row.effort:g}", *_counts(row.answers)) for row in funnel.asks
    )
    page.table("Ask by ask", ("ask", "effort", *_COUNTED), rows)


def _print_steps(funnel: Funnel, page: _Page) -> None:
    rows = ((str(row.step), *_counts(row.answers)) for row in funnel.steps)
    page.table("Step by step of an episode", ("step", *_COUNTED), rows)
    n_nothing = sum(row.nothing for row in funnel.steps)
    if n_nothing:
        page.line(f"At {_many(n_nothing, 'step')} the decision was to ask nothing.")
    if funnel.n_later_steps:
        page.line(f"After step {MAX_STEPS}: {_many(funnel.n_later_steps, 'further step')}, not shown.")
    drops = (
        (str(row.step), str(row.reached), str(row.went_on), str(row.converted), rate_text(row.drop_off))
        for row in funnel.steps
    )
    page.table("Drop-off (mature episodes)", ("step", "reached", "went on", "converted", "dropped off (95 %)"), drops)


def _print_commitment(funnel: Funnel, page: _Page) -> None:
    speeds = (
        (
            str(row.acceptance),
            str(row.n_episodes),
            time_text(row.lower_quartile_s),
            time_text(row.median_s),
            time_text(row.upper_quartile_s),
        )
        for row in funnel.velocity
    )
    head = ("accepted", "episodes", "25 % within", "50 % within", "75 % within")
    page.table("Commitment velocity: time from first decision, among episodes that got there", head, speeds)
    if not funnel.velocity:
        page.line("No ask was accepted in a mature episode.")
    for title, name, shares in (
        ("Commitment depth: asks accepted in an episode", "accepted", funnel.accepted),
        ("Commitment depth: highest effort accepted (0: none)", "effort", funnel.highest_effort),
    ):
        rows = ((f"{row.level:g}", str(row.n_episodes), rate_text(row.share)) for row in shares)
        page.table(title, (name, "episodes", "share (95 %)"), rows)
    if funnel.mean_accepted is not None:
        page.line(f"On average {funnel.mean_accepted:.2f} asks were accepted in a mature episode (no interval).")


def _print_comparisons(funnel: Funnel, page: _Page) -> None:
    _print_groups("Direct ask against sequence", "began with", (funnel.direct, funnel.sequence), page)
    page.line(f"Difference, direct minus sequence: {points_text(funnel.direct_minus_sequence)}.")
    page.line(NOT_CAUSAL)
    _print_groups("Realized conversion by arm", "arm", funnel.arms, page)
    if any(arm.name == MAIN_ARM for arm in funnel.arms):
        page.line(f"{MAIN_ARM}: champion, baseline and fallback decisions of visitors in no other arm.")
    if funnel.segmented_by is not None:
        _print_groups(f"By {funnel.segmented_by} at the first step", "segment", funnel.segments, page)


def _print_groups(title: str, name: str, groups: Iterable[GroupRow], page: _Page) -> None:
    rows = (
        (
            group.name,
            str(group.n_mature),
            str(group.n_young),
            str(group.converted),
            rate_text(group.conversion),
            rate_text(group.answers.accept_rate),
        )
        for group in groups
    )
    page.table(title, (name, "mature", "young", "converted", "conversion (95 %)", "asks accepted (95 %)"), rows)


_COUNTED: Final = ("shown", "accepted", "declined", "ignored", "open", "acceptance (95 %)")


def _counts(answers: Answers) -> tuple[str, ...]:
    numbers = (answers.shown, answers.accepted, answers.declined, answers.ignored, answers.pending)
    return (*(str(number) for number in numbers), rate_text(answers.accept_rate))


def rate_text(rate: Interval) -> str:
    """A rate in percent with its interval, or why there is none.

    Example:
        >>> from training.intervals import wilson
        >>> rate_text(wilson(3, 10)), rate_text(wilson(0, 0))
        ('30.0 % (10.8 to 60.3)', 'none: nothing was observed')
    """
    if rate.value is None or rate.low is None or rate.high is None:
        return f"none: {rate.reason}"
    places = 1 if rate.high >= 0.05 else 2
    value, low, high = (f"{100 * share:.{places}f}" for share in (rate.value, rate.low, rate.high))
    return f"{value} % ({low} to {high})"


def points_text(gap: Interval) -> str:
    """A difference of rates in percentage points with its interval, or why there is none.

    Example:
        >>> from training.intervals import difference
        >>> points_text(difference((56, 70), (48, 80)))
        '+20.0 points (+5.2 to +33.4)'
    """
    if gap.value is None or gap.low is None or gap.high is None:
        return f"none: {gap.reason}"
    value, low, high = (f"{100 * share:+.1f}" for share in (gap.value, gap.low, gap.high))
    return f"{value} points ({low} to {high})"


def time_text(seconds: Interval) -> str:
    """A duration with its interval, or why there is none.

    Example:
        >>> from training.intervals import quantile
        >>> time_text(quantile([60, 90, 120, 240, 300, 600])), time_text(quantile([90]))
        ('3.0 min (1.0 to 10.0)', '1.5 min (too few for an interval: 1)')
    """
    if seconds.value is None:
        return f"none: {seconds.reason}"
    size, unit, places = next(scale for scale in _SCALES if seconds.value >= scale[0] or scale is _SCALES[-1])
    value = f"{seconds.value / size:.{places}f} {unit}"
    if seconds.low is None or seconds.high is None:
        return f"{value} ({seconds.reason})"
    return f"{value} ({seconds.low / size:.{places}f} to {seconds.high / size:.{places}f})"


def _many(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
